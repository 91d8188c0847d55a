package msgtrace

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"parley.chat/shared-contracts/chat"
)

// Root returns the span that all others of an event's trace descend from: the first send. The trace's id is
// the event's, and the span's the last eight bytes of it, which no id has all zero.
func Root(id chat.EventID) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(id.UUID), SpanID: trace.SpanID(id.UUID[8:]), TraceFlags: trace.FlagsSampled, Remote: true,
	})
}

// randomBits is how many of a UUIDv7's last bits are random in whole bytes. W3C Trace Context takes the
// same ones of a trace's id for that.
const randomBits = 56

// chance returns the random bits of an id as a number.
func chance(id chat.EventID) uint64 {
	return binary.BigEndian.Uint64(id.UUID[8:]) & (1<<randomBits - 1)
}

// thresholdOf returns the chance from which an id is among the share of them that is traced. OpenTelemetry
// calls it the rejection threshold.
func thresholdOf(ratio float64) uint64 { return uint64((1 - ratio) * (1 << randomBits)) }

// isV7 reports whether an id is of the kind that events get, and has its random bits where we look.
func isV7(id uuid.UUID) bool { return id[6]>>4 == 7 }

// madeAt returns when an id was made: 48 bits are milliseconds, and the 12 behind the version count
// 256 ns each within one, as the package makes them that makes our ids.
func madeAt(id chat.EventID) time.Time {
	ms := int64(binary.BigEndian.Uint64(id.UUID[:]) >> 16)
	part := int64(binary.BigEndian.Uint16(id.UUID[6:]) & 0xfff)
	return time.UnixMilli(ms).Add(time.Duration(part<<8) * time.Nanosecond)
}

// ids gives a root its event's ids, and other spans random ones.
type ids struct{}

type rootKey struct{}

// NewIDs is asked for the ids of a root; see root.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	root := Root(ctx.Value(rootKey{}).(chat.EventID)) // nothing else begins a trace here
	return root.TraceID(), root.SpanID()
}

// NewSpanID is asked for the id of any other span.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

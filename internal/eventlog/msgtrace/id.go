package msgtrace

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"parley.chat/shared-contracts/chat"
)

// Root returns the root span of an event's trace: the span of the first send. The trace id is the
// event's id. The span id is the last eight bytes of the event's id, which are never all zero.
func Root(id chat.EventID) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(id.UUID), SpanID: trace.SpanID(id.UUID[8:]), TraceFlags: trace.FlagsSampled, Remote: true,
	})
}

// randomBits is the number of random bits at the end of a UUIDv7, counting only whole bytes. W3C
// Trace Context uses the same bits of a trace id for sampling.
const randomBits = 56

// chance returns the random bits of an id as a number.
func chance(id chat.EventID) uint64 {
	return binary.BigEndian.Uint64(id.UUID[8:]) & (1<<randomBits - 1)
}

// thresholdOf returns the lowest value of chance for which an id is traced at the given ratio.
// OpenTelemetry calls it the rejection threshold.
func thresholdOf(ratio float64) uint64 { return uint64((1 - ratio) * (1 << randomBits)) }

// isV7 reports whether id is a UUIDv7, as event ids are. Only then are its random bits in the
// expected place.
func isV7(id uuid.UUID) bool { return id[6]>>4 == 7 }

// ids is an OpenTelemetry id generator. It derives the ids of a root span from the event's id, and
// generates random ids for all other spans.
type ids struct{}

type rootKey struct{}

// NewIDs returns the trace and span ids of a root span; see Tracer.root.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	root := Root(ctx.Value(rootKey{}).(chat.EventID)) // nothing else starts a trace here
	return root.TraceID(), root.SpanID()
}

// NewSpanID returns a random id for a span that is not a root span.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

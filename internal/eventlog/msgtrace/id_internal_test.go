package msgtrace

import (
	"math"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"parley.chat/shared-contracts/chat"
)

func TestRoot(t *testing.T) {
	t.Parallel()
	id, err := chat.ParseEventID("01920c3a-5d6e-7f01-8a2b-3c4d5e6f7081")
	if err != nil {
		t.Fatal(err)
	}
	root := Root(id)
	if got := root.TraceID().String(); got != "01920c3a5d6e7f018a2b3c4d5e6f7081" {
		t.Errorf("the trace's id is %s, want the event's without its dashes", got)
	}
	if got := root.SpanID().String(); got != "8a2b3c4d5e6f7081" || !root.IsValid() || !root.IsSampled() {
		t.Errorf("the root is %s, valid %v, sampled %v", got, root.IsValid(), root.IsSampled())
	}
}

// TestTraces_ratio checks that the share of traced events equals the ratio. The OpenTelemetry SDK's
// own sampler would trace a different share, because it treats the variant bits as random, although
// they are the same in all ids.
func TestTraces_ratio(t *testing.T) {
	t.Parallel()
	const n = 100_000
	all := make([]chat.EventID, n)
	for i := range all {
		all[i] = chat.NewEventID()
	}
	for _, ratio := range []float64{1e-9, 0.001, 0.01, 0.1, 0.5, 0.9, 1} {
		here, elsewhere := &Tracer{threshold: thresholdOf(ratio)}, &Tracer{threshold: thresholdOf(ratio)}
		traced, bySDK := 0, 0
		for _, id := range all {
			if here.Traces(id) != elsewhere.Traces(id) {
				t.Fatalf("two services decide differently about %s", id)
			}
			if here.Traces(id) {
				traced++
			}
			if sdktrace.TraceIDRatioBased(ratio).ShouldSample(sdktrace.SamplingParameters{
				ParentContext: t.Context(), TraceID: trace.TraceID(id.UUID),
			}).Decision == sdktrace.RecordAndSample {
				bySDK++
			}
		}
		if bound := 6*math.Sqrt(n*ratio*(1-ratio)) + 1; math.Abs(float64(traced)-n*ratio) > bound {
			t.Errorf("ratio %v traces %d of %d, want %v ± %.0f", ratio, traced, n, n*ratio, bound)
		}
		if ratio == 0.1 && bySDK != 0 {
			t.Errorf("the SDK's sampler selects %d of %d, so it could be used", bySDK, n)
		}
	}
}

// TestTraces_smallerIsPart checks that a service with a smaller ratio traces a subset of the events
// that the others trace.
func TestTraces_smallerIsPart(t *testing.T) {
	t.Parallel()
	small, large := &Tracer{threshold: thresholdOf(0.1)}, &Tracer{threshold: thresholdOf(0.3)}
	for range 10_000 {
		if id := chat.NewEventID(); small.Traces(id) && !large.Traces(id) {
			t.Fatalf("%s is traced at 0.1 and not at 0.3", id)
		}
	}
}

func TestTraces_otherIDs(t *testing.T) {
	t.Parallel()
	all := &Tracer{threshold: thresholdOf(1)}
	for _, id := range []chat.EventID{{}, chat.EventID(chat.NewClientID())} {
		if all.Traces(id) {
			t.Errorf("%s is traced, which is no UUIDv7", id)
		}
	}
}

// TestTraces_costsNothing checks that events cost no allocations if nothing is traced, or if the
// event is not traced.
func TestTraces_costsNothing(t *testing.T) {
	id, never := chat.NewEventID(), &Tracer{threshold: 1 << randomBits}
	for name, tracer := range map[string]*Tracer{"off": nil, "not this one": never} {
		e := sample()
		e.ID = id
		if n := testing.AllocsPerRun(100, func() {
			send := tracer.Send(t.Context(), &e)
			send.Reserved()
			if send.Batch() != nil {
				t.Error("an untraced event must not have a batch")
			}
			send.End(outcome(id), nil)
			tracer.Retried(&e, id)
			tracer.Delivered(id, 1, Delivery{})
			tracer.Stored(Storing{ID: id})
			tracer.Link(t.Context(), id)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

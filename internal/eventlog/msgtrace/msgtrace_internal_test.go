package msgtrace

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit/otlptest"
	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/platform/telemetry/tracing"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sample() frame.Event {
	return frame.Event{
		Type: event.Message, ID: chat.NewEventID(), ChannelID: chat.NewChannelID(), SenderID: chat.NewUserID(), Body: "hello", SentAt: chat.Now(),
	}
}

func outcome(id chat.EventID) appender.Ack { return appender.Ack{ID: id, Seq: 7} }

// traced returns a Tracer that traces every event, and a function that sends its spans to the
// collector.
func traced(t *testing.T, service string) (tracer *Tracer, requests *tracing.Tracing, c *otlptest.Collector, flush func()) {
	t.Helper()
	c = otlptest.New(t)
	tr := tracing.New(tracing.Config{Endpoint: c.URL}, service, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	return New(tr, 1), tr, c, func() {
		t.Helper()
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := tr.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNew_off(t *testing.T) {
	t.Parallel()
	c, quiet := otlptest.New(t), slog.New(slog.DiscardHandler)
	if New(tracing.New(tracing.Config{}, "x", prometheus.NewRegistry(), quiet), 1) != nil {
		t.Error("traced without a collector")
	}
	if New(tracing.New(tracing.Config{Endpoint: c.URL}, "x", prometheus.NewRegistry(), quiet), 0) != nil {
		t.Error("traced at a ratio of 0")
	}
}

// TestTrace checks that spans form one tree although the services do not exchange a trace context.
func TestTrace(t *testing.T) {
	t.Parallel()
	tracer, _, c, flush := traced(t, "all")
	e := sample()
	send := tracer.Send(t.Context(), &e)
	send.Reserved()
	*send.Batch() = appender.BatchInfo{SentAt: time.Now(), Events: 5, Channels: 2}
	send.End(outcome(e.ID), nil)
	again := e
	again.ID = chat.NewEventID()
	// A duplicate has no trace of its own.
	tracer.Send(t.Context(), &again).End(appender.Ack{ID: e.ID, Seq: 7, Duplicate: true}, nil)
	tracer.Retried(&again, e.ID)
	now := time.Now()
	tracer.Delivered(e.ID, 7, Delivery{Channel: e.ChannelID, Began: now, Ended: now, Events: 3, Recipients: 40})
	tracer.Stored(Storing{
		ID: e.ID, Channel: e.ChannelID, Seq: 7, Kind: e.Type, Partition: 3, EntryID: "5-1",
		Added: now.Add(time.Hour), Gathered: now, Committed: now, Rows: 9, Copied: true,
	})
	flush()

	root := Root(e.ID)
	byName := map[string][]otlptest.Span{}
	for _, s := range c.Trace(root.TraceID().String()) {
		byName[s.Name] = append(byName[s.Name], s)
		if s.Ended.Before(s.Began) {
			t.Errorf("%s ends before it begins", s.Name)
		}
	}
	if len(c.Spans()) != 6 || len(byName["send"]) != 2 {
		t.Fatalf("%+v", c.Spans())
	}
	first, retry := byName["send"][0], byName["send"][1]
	if first.ID != root.SpanID().String() || first.Parent != "" || !first.Began.Equal(e.ID.CreatedAt()) {
		t.Errorf("the root is %+v", first)
	}
	for name, want := range map[string]map[string]string{
		"send":    {"seq": "7", "kind": "message", "channel_id": e.ChannelID.String(), "user_id": e.SenderID.String(), "body_bytes": "5"},
		"append":  {"batch_events": "5", "batch_channels": "2"},
		"reserve": nil,
		"deliver": {"recipients": "40", "batch_events": "3", "seq": "7"},
		"store":   {"partition": "3", "entry_id": "5-1", "batch_rows": "9", "path": "copy", "channel_id": e.ChannelID.String()},
	} {
		if len(byName[name]) == 0 {
			t.Errorf("no span %s", name)
			continue
		}
		s := byName[name][0]
		if name != "send" && s.Parent != first.ID {
			t.Errorf("%s is below %q, not below the root", name, s.Parent)
		}
		for k, v := range want {
			if s.Attributes[k] != v {
				t.Errorf("%s: %s is %q, want %q", name, k, s.Attributes[k], v)
			}
		}
	}
	if retry.Parent != first.ID || retry.Attributes["duplicate"] != "true" {
		t.Errorf("the retry is %+v", retry)
	}
}

func TestSend_fails(t *testing.T) {
	t.Parallel()
	tracer, _, c, flush := traced(t, "ws-server")
	e := sample()
	tracer.Send(t.Context(), &e).End(appender.Ack{}, apierr.New(apierr.Overloaded, "too much"))
	tracer.Stored(Storing{ID: e.ID, Committed: time.Now(), Failed: "cannot be decoded"})
	flush()
	spans := c.Spans()
	if len(spans) != 2 {
		t.Fatalf("%+v", spans)
	}
	for _, s := range spans {
		if want := map[string]string{"send": "overloaded", "store": "cannot be decoded"}[s.Name]; s.Failed != want {
			t.Errorf("%s has failed with %q, want %q", s.Name, s.Failed, want)
		}
	}
}

// TestLink checks that a request and the message that it sends have two separate traces, which are
// linked to each other.
func TestLink(t *testing.T) {
	t.Parallel()
	tracer, requests, c, flush := traced(t, "chat-service")
	e := sample()
	ctx, request := requests.Tracer("test").Start(t.Context(), "POST")
	tracer.Send(ctx, &e).End(outcome(e.ID), nil)
	tracer.Link(ctx, e.ID)
	request.End()
	flush()
	message := Root(e.ID).TraceID().String()
	for _, s := range c.Spans() {
		want := message
		if s.Name == "send" {
			want = request.SpanContext().TraceID().String()
		}
		if s.Name != "append" && (len(s.Links) != 1 || s.Links[0] != want) {
			t.Errorf("%s is linked to %v, want %s", s.Name, s.Links, want)
		}
	}
	if len(c.Trace(message)) != 2 || len(c.Spans()) != 3 {
		t.Errorf("%+v", c.Spans())
	}
}

package otlptest_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"parley.chat/internal/devkit/testkit/otlptest"
)

var (
	one = []byte("0123456789abcdef")
	two = []byte("fedcba9876543210")
)

// began is when the spans begin, in nanoseconds; each takes one second.
const began = 1_700_000_000_000_000_000

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

// span returns a span of a trace that begins after a number of seconds.
func span(trace []byte, name string, after uint64) *tracepb.Span {
	return &tracepb.Span{
		TraceId: trace, SpanId: []byte("spanspan"), ParentSpanId: []byte("parents!"), Name: name,
		StartTimeUnixNano: began + after*1e9, EndTimeUnixNano: began + (after+1)*1e9,
	}
}

// data returns the body of a request with spans of a service.
func data(t *testing.T, service string, spans ...*tracepb.Span) []byte {
	t.Helper()
	b, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("host.name", "x"), text("service.name", service)}},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// send sends a request to a collector and returns the status of the answer.
func send(t *testing.T, url, kind, encoding string, body []byte) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func packed(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const protobuf = "application/x-protobuf"

func TestCollector_storesSpansInOrder(t *testing.T) {
	t.Parallel()
	c := otlptest.New(t)
	if got := c.Spans(); len(got) != 0 {
		t.Errorf("%d spans at first", len(got))
	}
	send(t, c.URL+"/v1/traces", protobuf, "", data(t, "late", span(one, "second", 2), span(two, "third", 3)))
	send(t, c.URL+"/v1/traces", protobuf, "gzip", packed(t, data(t, "early", span(one, "first", 1))))
	var got []string
	for _, s := range c.Spans() {
		got = append(got, s.Service+" "+s.Name)
	}
	if want := "early first, late second, late third"; strings.Join(got, ", ") != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := c.Trace("30313233343536373839616263646566"); len(got) != 2 || got[0].Name != "first" || got[1].Name != "second" {
		t.Errorf("the spans of one trace: %+v", got)
	}
}

func TestCollector_decodesASpan(t *testing.T) {
	t.Parallel()
	c := otlptest.New(t)
	s := span(one, "send", 0)
	s.Links = []*tracepb.Span_Link{{TraceId: two}}
	s.Attributes = []*commonpb.KeyValue{
		text("channel_id", "c"),
		{Key: "duplicate", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}},
		{Key: "seq", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 7}}},
	}
	s.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "forbidden"}
	fine := span(two, "fine", 1)
	fine.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_OK, Message: "no failure"}
	if status := send(t, c.URL+"/v1/traces", protobuf, "", data(t, "ws-server", s, fine)); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	all := c.Spans()
	got := all[0]
	if got.Trace != "30313233343536373839616263646566" || got.ID != "7370616e7370616e" || got.Parent != "706172656e747321" {
		t.Errorf("ids of %+v", got)
	}
	if len(got.Links) != 1 || got.Links[0] != "66656463626139383736353433323130" {
		t.Errorf("links %q", got.Links)
	}
	if a := got.Attributes; len(a) != 3 || a["channel_id"] != "c" || a["duplicate"] != "true" || a["seq"] != "7" {
		t.Errorf("attributes %v", a)
	}
	if got.Failed != "forbidden" || all[1].Failed != "" {
		t.Errorf("failures %q and %q, want one", got.Failed, all[1].Failed)
	}
	if !got.Began.Equal(time.Unix(0, began)) || got.Ended.Sub(got.Began) != time.Second {
		t.Errorf("from %v to %v", got.Began, got.Ended)
	}
}

// failures is a testing.TB that records whether it failed.
type failures struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

func (f *failures) Errorf(format string, _ ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, format)
}

func (f *failures) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.said)
}

func TestCollector_failsTheTestForABadRequest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path, kind, encoding string
		body                 []byte
	}{
		"another path":   {"/v1/metrics", protobuf, "", nil},
		"another format": {"/v1/traces", "application/json", "", nil},
		"not packed":     {"/v1/traces", protobuf, "gzip", []byte("x")},
		"no protobuf":    {"/v1/traces", protobuf, "", []byte("no protobuf")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &failures{TB: t}
			c := otlptest.New(f)
			if status := send(t, c.URL+test.path, test.kind, test.encoding, test.body); status != http.StatusBadRequest || f.count() != 1 || len(c.Spans()) != 0 {
				t.Errorf("status %d, %d failures, %d spans; want 400, 1, 0", status, f.count(), len(c.Spans()))
			}
		})
	}
}

func TestAwait_waitsForTheSpansOfATrace(t *testing.T) {
	t.Parallel()
	c := otlptest.New(t)
	first := data(t, "a", span(two, "other", 1), span(one, "first", 2))
	second := data(t, "a", span(one, "second", 3))
	var sending sync.WaitGroup
	sending.Go(func() {
		send(t, c.URL+"/v1/traces", protobuf, "", first)
		send(t, c.URL+"/v1/traces", protobuf, "", second)
	})
	got := c.Await(t, "30313233343536373839616263646566", 2)
	sending.Wait()
	if len(got) != 2 || got[0].Name != "first" || got[1].Name != "second" {
		t.Errorf("%+v", got)
	}
}

// Package otlptest provides an OpenTelemetry collector for tests. The collector receives spans as
// protobuf over OTLP/HTTP and stores them.
package otlptest

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"parley.chat/internal/devkit/testkit"
)

// Span is a span that the collector has received from a service.
type Span struct {
	Service    string
	Name       string
	Trace      string // hexadecimal, as are the next two
	ID         string
	Parent     string
	Links      []string // traces that it is linked to
	Attributes map[string]string
	Failed     string // the span's status message, if the status is an error
	Began      time.Time
	Ended      time.Time
}

// Collector stores the spans that it receives.
type Collector struct {
	URL string // for OTEL_EXPORTER_OTLP_ENDPOINT

	mu    sync.Mutex
	spans []Span
}

// New starts a collector, which is closed when the test ends.
func New(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.receive(r); err != nil {
			t.Errorf("collector: %v", err)
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

func (c *Collector) receive(r *http.Request) error {
	if r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		return fmt.Errorf("%s of %s", r.URL.Path, r.Header.Get("Content-Type"))
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		packed, err := gzip.NewReader(r.Body)
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		body = packed
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	var data tracepb.TracesData // TracesData has the same wire format as the request
	if err := proto.Unmarshal(b, &data); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range data.GetResourceSpans() {
		service := ""
		for _, a := range of.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, spanOf(service, s))
			}
		}
	}
	return nil
}

func spanOf(service string, s *tracepb.Span) Span {
	out := Span{
		Service: service, Name: s.GetName(), Trace: hex.EncodeToString(s.GetTraceId()),
		ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()), Attributes: map[string]string{},
		Began: time.Unix(0, int64(s.GetStartTimeUnixNano())), Ended: time.Unix(0, int64(s.GetEndTimeUnixNano())),
	}
	for _, l := range s.GetLinks() {
		out.Links = append(out.Links, hex.EncodeToString(l.GetTraceId()))
	}
	for _, a := range s.GetAttributes() {
		switch v := a.GetValue(); {
		case v.GetStringValue() != "":
			out.Attributes[a.GetKey()] = v.GetStringValue()
		case v.GetBoolValue():
			out.Attributes[a.GetKey()] = "true"
		default:
			out.Attributes[a.GetKey()] = fmt.Sprint(v.GetIntValue())
		}
	}
	if s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		out.Failed = s.GetStatus().GetMessage()
	}
	return out
}

// Spans returns the spans received so far, ordered by start time.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedStableFunc(slices.Values(c.spans), func(a, b Span) int { return a.Began.Compare(b.Began) })
}

// Trace returns the spans that have been received for one trace so far.
func (c *Collector) Trace(id string) []Span {
	return slices.DeleteFunc(c.Spans(), func(s Span) bool { return s.Trace != id })
}

// Await waits until n spans of a trace have been received, and returns them.
func (c *Collector) Await(t testing.TB, id string, n int) (spans []Span) {
	t.Helper()
	testkit.Until(t, testkit.Timeout, func() error {
		if spans = c.Trace(id); len(spans) < n {
			return fmt.Errorf("trace %s has %d spans, want %d: %+v", id, len(spans), n, spans)
		}
		return nil
	})
	return spans
}

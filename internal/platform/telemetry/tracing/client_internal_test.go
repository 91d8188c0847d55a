package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"parley.chat/internal/devkit/testkit"
)

// batch is the batch of spans that the tests send.
var batch = []*tracepb.ResourceSpans{{
	Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{
		Key: "service.name", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: "ws-server"}},
	}}},
	ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{
		{Name: "send", TraceId: bytes.Repeat([]byte{1}, 16), SpanId: bytes.Repeat([]byte{2}, 8), StartTimeUnixNano: 1, EndTimeUnixNano: 2},
		{Name: "append", TraceId: bytes.Repeat([]byte{1}, 16), SpanId: bytes.Repeat([]byte{3}, 8), ParentSpanId: bytes.Repeat([]byte{2}, 8)},
	}}},
}}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer returns a collector's response; header is "name: value", or empty.
func answer(status int, header, body string) *http.Response {
	resp := &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	if name, value, ok := strings.Cut(header, ": "); ok {
		resp.Header.Set(name, value)
	}
	return resp
}

// to returns a client whose requests are handled by a function.
func to(t *testing.T, collector tripper) *client {
	t.Helper()
	c, err := newClient(Config{Endpoint: "http://collector:4318"})
	if err != nil {
		t.Fatal(err)
	}
	c.http.Transport = collector
	return c
}

// TestUploadTraces_retries checks that temporary failures are retried with the same spans, after a
// random pause or the one that the collector asks for.
func TestUploadTraces_retries(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		first    func(*http.Request) (*http.Response, error)
		from, to time.Duration
	}{
		"too many requests": {
			func(*http.Request) (*http.Response, error) { return answer(429, "", ""), nil }, firstPause / 2, firstPause,
		},
		"bad gateway": {
			func(*http.Request) (*http.Response, error) { return answer(502, "", ""), nil }, firstPause / 2, firstPause,
		},
		"unavailable": {
			func(*http.Request) (*http.Response, error) { return answer(503, "", ""), nil }, firstPause / 2, firstPause,
		},
		"gateway timeout": {
			func(*http.Request) (*http.Response, error) { return answer(504, "", ""), nil }, firstPause / 2, firstPause,
		},
		"no connection": {
			func(*http.Request) (*http.Response, error) { return nil, &net.OpError{Op: "dial"} }, firstPause / 2, firstPause,
		},
		"no answer": {func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, defaultTimeout + firstPause/2, defaultTimeout + firstPause},
		"retry after seconds": {
			func(*http.Request) (*http.Response, error) { return answer(503, "Retry-After: 7", ""), nil }, 7 * time.Second, 7 * time.Second,
		},
		"retry after a date": {func(*http.Request) (*http.Response, error) {
			return answer(429, "Retry-After: "+time.Now().Add(7*time.Second).UTC().Format(http.TimeFormat), ""), nil
		}, 6 * time.Second, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				attempts := 0
				c := to(t, func(r *http.Request) (*http.Response, error) {
					var got tracepb.TracesData
					if body, err := io.ReadAll(r.Body); err != nil || proto.Unmarshal(body, &got) != nil || !proto.Equal(&got, &tracepb.TracesData{ResourceSpans: batch}) {
						t.Errorf("attempt %d sends %x, %v", attempts, body, err)
					}
					if attempts++; attempts == 1 {
						return tt.first(r)
					}
					return answer(200, "", ""), nil
				})
				began := time.Now()
				if err := c.UploadTraces(t.Context(), batch); err != nil || attempts != 2 {
					t.Errorf("%d attempts, %v; want 2 and no error", attempts, err)
				}
				if took := time.Since(began); took < tt.from || took > tt.to {
					t.Errorf("took %s, want %s to %s", took, tt.from, tt.to)
				}
			})
		})
	}
}

// TestUploadTraces_givesUp checks that the attempts end when the context is done, and that the
// error is the one from the collector.
func TestUploadTraces_givesUp(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		header  string
		atLeast int
		atMost  int
	}{"pauses grow": {"", 6, 10}, "asked to stay away": {"Retry-After: 9223372036854775807", 1, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				attempts := 0
				c := to(t, func(*http.Request) (*http.Response, error) {
					attempts++
					return answer(503, tt.header, "later"), nil
				})
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				began := time.Now()
				err := c.UploadTraces(ctx, batch)
				if err == nil || !strings.Contains(err.Error(), "later") || time.Since(began) != 20*time.Second {
					t.Errorf("after %s: %v", time.Since(began), err)
				}
				if attempts < tt.atLeast || attempts > tt.atMost {
					t.Errorf("%d attempts in 20 s, want %d to %d", attempts, tt.atLeast, tt.atMost)
				}
			})
		})
	}
}

// TestUploadTraces_refused checks that a permanent refusal is not retried, and that no header is
// sent to the target of a redirect.
func TestUploadTraces_refused(t *testing.T) {
	t.Parallel()
	for _, status := range []int{302, 307, 400, 401, 404, 413, 500} {
		var attempts atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			attempts.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "no such tenant"+strings.Repeat(".", 1000))
		}))
		c, err := newClient(Config{Endpoint: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		err = c.UploadTraces(t.Context(), batch)
		if err == nil || !strings.Contains(err.Error(), "no such tenant") || !strings.Contains(err.Error(), http.StatusText(status)) || len(err.Error()) > 2*reasonBytes {
			t.Errorf("%d: %v", status, err)
		}
		if attempts.Load() != 1 {
			t.Errorf("%d: %d attempts, want 1", status, attempts.Load())
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		server.Close()
	}
}

// TestUploadTraces_request checks the address and the content of requests, and that they share one
// connection.
func TestUploadTraces_request(t *testing.T) {
	t.Parallel()
	general, traces := Headers{"Api-Key": "general", "X-Tenant": "a"}, Headers{"Api-Key": "traces", "Content-Type": "text/plain"}
	for name, tt := range map[string]struct {
		cfg      Config
		key      string
		encoding string
	}{
		"plain":             {Config{}, "", ""},
		"headers":           {Config{Headers: general, Compression: "none"}, "general", ""},
		"headers of traces": {Config{Headers: general, TracesHeaders: traces}, "traces", ""},
		"packed":            {Config{Headers: general, Compression: "gzip"}, "general", "gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connections, closed atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.Path != "/otlp/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
					t.Errorf("%s %s of %s", r.Method, r.URL, r.Header.Get("Content-Type"))
				}
				if r.Header.Get("Api-Key") != tt.key || r.Header.Get("Content-Encoding") != tt.encoding || r.ContentLength <= 0 {
					t.Errorf("headers %v, %d bytes", r.Header, r.ContentLength)
				}
				if tt.key == "traces" && r.Header.Get("X-Tenant") != "" {
					t.Error("headers of both variables are sent")
				}
				if got := decode(t, r); !proto.Equal(got, &tracepb.TracesData{ResourceSpans: batch}) {
					t.Errorf("the collector decodes %v", got)
				}
				// A response with a body must be read to reuse the connection.
				_, _ = w.Write(make([]byte, 10_000))
			}))
			server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				switch s {
				case http.StateNew:
					connections.Add(1)
				case http.StateClosed:
					closed.Add(1)
				}
			}
			server.Start()
			defer server.Close()
			tt.cfg.Endpoint = server.URL + "/otlp/"
			c, err := newClient(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				if err := c.UploadTraces(t.Context(), batch); err != nil {
					t.Error(err)
				}
			}
			if n := connections.Load(); n != 1 {
				t.Errorf("%d connections for 5 batches, want 1", n)
			}
			if err := c.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			testkit.Until(t, testkit.Timeout, func() error {
				if closed.Load() == 0 {
					return errors.New("the connection is open after Stop")
				}
				return nil
			})
		})
	}
}

// decode decodes the request that a collector receives.
func decode(t *testing.T, r *http.Request) *tracepb.TracesData {
	t.Helper()
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		packed, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return nil
		}
		body = packed
	}
	b, err := io.ReadAll(body)
	data := &tracepb.TracesData{}
	if err := errors.Join(err, proto.Unmarshal(b, data)); err != nil {
		t.Error(err)
	}
	return data
}

// partly is the response of a collector that rejects some of the spans.
func partly(spans uint64, reason string) string {
	partial := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), spans)
	partial = protowire.AppendString(protowire.AppendTag(partial, 2, protowire.BytesType), reason)
	unknown := protowire.AppendFixed64(protowire.AppendTag(nil, 9, protowire.Fixed64Type), 1)
	return string(protowire.AppendBytes(protowire.AppendTag(unknown, 1, protowire.BytesType), partial))
}

// TestRun_rejected checks that if a batch is accepted in part, the rest is counted as failed, and
// the reason is logged.
func TestRun_rejected(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := uint64(len(decode(t, r).GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()))
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = io.WriteString(w, partly(n-1, "too old"))
	}))
	defer server.Close()
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	tr := New(Config{Endpoint: server.URL}, "x", reg, slog.New(slog.NewTextHandler(&log, nil)))
	for range 3 {
		_, span := tr.Tracer("test").Start(t.Context(), "x")
		span.End()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // ended spans are still sent
	if err := tr.Run(ctx); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	if want := map[string]float64{"sent": 1, "failed": 2, "dropped": 0}; !maps.Equal(got, want) {
		t.Errorf("spans are counted as %v, want %v", got, want)
	}
	if !strings.Contains(log.String(), "too old") || !strings.Contains(log.String(), "spans=2") {
		t.Errorf("the log says %s", log.String())
	}
}

// FuzzRejected checks that the error contains only a bounded part of the collector's response,
// whatever that is.
func FuzzRejected(f *testing.F) {
	f.Add([]byte(partly(3, "too old")))
	f.Add([]byte(partly(3, strings.Repeat("x", 1000))))
	f.Add([]byte{})
	f.Add([]byte(partly(1, strings.Repeat("x", 1000)))[:20])
	f.Fuzz(func(t *testing.T, answer []byte) {
		err := rejected(http.Header{"Content-Type": {"application/x-protobuf"}}, answer)
		if e, ok := errors.AsType[*rejectedError](err); ok != (err != nil) || ok && len(e.reason) > reasonBytes {
			t.Errorf("%x: %v", answer, err)
		}
	})
}

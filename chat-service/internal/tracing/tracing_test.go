package tracing

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun_flushes: what has ended before the stop reaches the collector, and nobody is left behind.
func TestRun_flushes(t *testing.T) {
	t.Parallel()
	got := make(chan []byte, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- append([]byte(r.URL.Path+" "), body...)
	}))
	defer collector.Close()
	tr := New(collector.URL+"/", "chat-service", slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	// The processor is there once a span is recorded: one that ends before is lost.
	for sent := false; !sent; {
		_, span := tr.Tracer().Start(t.Context(), "GET /v1/me")
		span.End()
		flush, cancel := context.WithCancel(t.Context())
		if err := tr.provider.ForceFlush(flush); err != nil {
			t.Fatal(err)
		}
		cancel()
		select {
		case body := <-got:
			sent = true
			for _, want := range []string{"/v1/traces ", "GET /v1/me", "chat-service"} {
				if !bytes.Contains(body, []byte(want)) {
					t.Errorf("%q lacks %q", body, want)
				}
			}
		default:
		}
	}
	_, span := tr.Tracer().Start(t.Context(), "the last")
	span.End()
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case body := <-got:
			if bytes.Contains(body, []byte("the last")) {
				return
			}
		default:
			t.Fatal("the last span is not sent")
		}
	}
}

func TestRun_withoutCollector(t *testing.T) {
	t.Parallel()
	tr := New("", "chat-service", slog.New(slog.DiscardHandler))
	_, span := tr.Tracer().Start(t.Context(), "x")
	if span.IsRecording() {
		t.Error("a span is made for nobody")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := tr.Run(ctx); err != nil {
		t.Error(err)
	}
}

package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"parley.chat/internal/platform/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewLogger(t *testing.T) {
	var b bytes.Buffer
	log := telemetry.NewLogger(&b, "ws-server", slog.LevelInfo)
	log.Debug("unseen")
	log.Info("batch stored", "took", 1500*time.Millisecond, "entries", 3)
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v in %q", err, b.String())
	}
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(got["time"].(string)) {
		t.Errorf("time = %v", got["time"])
	}
	delete(got, "time")
	if want := map[string]any{"level": "INFO", "msg": "batch stored", "service": "ws-server", "took": "1.5s", "entries": 3.0}; !reflect.DeepEqual(got, want) {
		t.Errorf("line = %v, want %v", got, want)
	}
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	return w.Code, w.Body.String()
}

func TestHandler(t *testing.T) {
	var postgres, redis, feed error
	check := func(name string, err *error, optional bool) telemetry.Check {
		return telemetry.Check{Name: name, Check: func(context.Context) error { return *err }, Optional: optional}
	}
	var logged bytes.Buffer
	h := telemetry.Handler(telemetry.NewRegistry("chat-service"), telemetry.NewLogger(&logged, "chat-service", slog.LevelInfo),
		check("postgres", &postgres, false), check("redis", &redis, false), check("feed", &feed, true))
	secret := errors.New("dial tcp 10.0.0.7:5432: refused for user ann")
	for _, tt := range []struct {
		name                  string
		postgres, redis, feed error
		code                  int
		want                  string
	}{
		{"all is well", nil, nil, nil, 200, `{"status":"ok","checks":{"feed":{"status":"ok"},"postgres":{"status":"ok"},"redis":{"status":"ok"}}}`},
		{"an error is not shown", secret, nil, nil, 503, `{"status":"unavailable","checks":{"feed":{"status":"ok"},"postgres":{"status":"failed","reason":"does not answer"},"redis":{"status":"ok"}}}`},
		{
			"a state is shown in words", fmt.Errorf("ping: %w", &telemetry.StateError{Reason: "is read-only", Err: secret}), nil, nil, 503,
			`{"status":"unavailable","checks":{"feed":{"status":"ok"},"postgres":{"status":"failed","reason":"is read-only"},"redis":{"status":"ok"}}}`,
		},
		{"without what is optional", nil, nil, secret, 200, `{"status":"degraded","checks":{"feed":{"status":"degraded","reason":"does not answer"},"postgres":{"status":"ok"},"redis":{"status":"ok"}}}`},
		{
			"degraded", nil, &telemetry.StateError{Reason: "evicts keys", Degraded: true}, nil, 200,
			`{"status":"degraded","checks":{"feed":{"status":"ok"},"postgres":{"status":"ok"},"redis":{"status":"degraded","reason":"evicts keys"}}}`,
		},
		{"well again", nil, nil, nil, 200, `{"status":"ok","checks":{"feed":{"status":"ok"},"postgres":{"status":"ok"},"redis":{"status":"ok"}}}`},
	} {
		postgres, redis, feed = tt.postgres, tt.redis, tt.feed
		if code, body := get(t, h, "/readyz"); code != tt.code || body != tt.want+"\n" {
			t.Errorf("%s: readyz = %d %s, want %d %s", tt.name, code, body, tt.code, tt.want)
		}
	}
	if log := logged.String(); strings.Count(log, "not ready") != 1 || !strings.Contains(log, secret.Error()) || !strings.Contains(log, `"check":"postgres"`) || strings.Count(log, "ready again") != 1 {
		t.Errorf("the log has not one line with the details at the beginning and one at the end:\n%s", log)
	}
	if code, body := get(t, h, "/healthz"); code != 200 || !strings.Contains(body, "ok") {
		t.Errorf("healthz = %d %s", code, body)
	}
	code, body := get(t, h, "/metrics")
	for _, want := range []string{"go_goroutines ", "process_cpu_seconds_total ", `parley_build_info{`, `service="chat-service"`} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("metrics = %d, without %q", code, want)
		}
	}
}

// TestReadyHandler_slowChecks checks that health checks run concurrently, and that a hanging check
// delays the response by 2 s, whether it observes its context or not.
func TestReadyHandler_slowChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		h := telemetry.ReadyHandler(
			slog.New(slog.DiscardHandler),
			telemetry.Check{Name: "heeds", Check: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			telemetry.Check{Name: "hangs", Check: func(context.Context) error { <-release; return nil }},
			telemetry.Check{Name: "slow", Check: func(context.Context) error { time.Sleep(1500 * time.Millisecond); return nil }},
		)
		begin := time.Now()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("took %v, want 2s", took)
		}
		if got, want := w.Body.String(), `{"status":"unavailable","checks":{"hangs":{"status":"failed","reason":"no answer within 2 seconds"},"heeds":{"status":"failed","reason":"no answer within 2 seconds"},"slow":{"status":"ok"}}}`+"\n"; got != want {
			t.Errorf("readyz = %s, want %s", got, want)
		}
	})
}

// TestServeListener_finishesRequests checks that when ctx is done, an active request finishes and
// no new one is accepted.
func TestServeListener_finishesRequests(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		// A shutdown first closes the listener: once it is closed, the shutdown is in progress.
		for conn, err := net.Dial("tcp", l.Addr().String()); err == nil; conn, err = net.Dial("tcp", l.Addr().String()) {
			_ = conn.Close()
		}
		_, _ = io.WriteString(w, "done")
	})
	served := make(chan error, 1)
	go func() { served <- telemetry.ServeListener(ctx, l, handler, slog.New(slog.DiscardHandler)) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || string(body) != "done" {
		t.Errorf("the request in hand got %q, %v", body, err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}

func TestServe_addressTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = telemetry.Serve(t.Context(), l.Addr().String(), http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "listen on "+l.Addr().String()) {
		t.Errorf("Serve on a taken address = %v", err)
	}
}

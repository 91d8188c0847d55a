package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley.chat/loadtest/internal/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const items = `{"seq":1},{"seq":2},{"seq":3}`

// ask lets four clients send requests to a server for a short time.
func ask(t *testing.T, handler http.HandlerFunc) *web.Tally {
	t.Helper()
	server := httptest.NewServer(handler)
	addr := server.Listener.Addr().String()
	var requests []web.Request
	for _, path := range []string{"/a", "/b", "/c"} {
		requests = append(requests, web.Request{Bytes: []byte("GET " + path + " HTTP/1.1\r\nHost: " + addr + "\r\n\r\n"), Mark: []byte(`"seq":`), Items: 3})
	}
	clients := web.New(addr, 4, requests)
	t.Cleanup(func() {
		if err := clients.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	tally, err := clients.Run(t.Context(), 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return tally
}

// TestRun_framings checks a response with a Content-Length, responses in one chunk and in many
// chunks, and a long response.
func TestRun_framings(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for name, write := range map[string]func(w http.ResponseWriter){
		"length": func(w http.ResponseWriter) { _, _ = w.Write([]byte(items)) },
		"chunk": func(w http.ResponseWriter) {
			w.(http.Flusher).Flush()
			_, _ = w.Write([]byte(items))
		},
		"chunks": func(w http.ResponseWriter) {
			for _, c := range items {
				_, _ = w.Write([]byte(string(c)))
				w.(http.Flusher).Flush()
			}
		},
		"long": func(w http.ResponseWriter) { _, _ = w.Write([]byte(items + long)) },
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			tally := ask(t, func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				_, _ = w.Write([]byte(r.URL.Path)) // each request has a different response
				write(w)
			})
			size := int64(len("/a") + len(items))
			if name == "long" {
				size += int64(len(long))
			}
			if tally.Errors > 0 || tally.Requests < 12 || tally.Requests != asked.Load() || tally.Bytes != tally.Requests*size {
				t.Errorf("%d asked: %+v", asked.Load(), tally.FirstError)
			}
			if tally.Latency.Count() != tally.Requests || tally.Latency.Quantile(.5) <= 0 {
				t.Errorf("latency of %d answers: %v", tally.Latency.Count(), tally.Latency.Quantiles())
			}
		})
	}
}

// TestRun_faults checks that an incorrect response is counted and stops the client.
func TestRun_faults(t *testing.T) {
	var n atomic.Int64
	for _, tt := range []struct {
		name, want string
		handler    http.HandlerFunc
	}{
		{"status", "429", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, items, http.StatusTooManyRequests) }},
		{"too few", "has 2 items, want 3", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(items[:20])) }},
		{"different from the first", "differs from the first one", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(items + strings.Repeat(" ", int(n.Add(1)))))
		}},
		{"broken off", "read an answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(items))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tally := ask(t, tt.handler); tally.Errors != 4 || !strings.Contains(tally.FirstError, tt.want) {
				t.Errorf("%d errors, the first %q; want 4 of %q", tally.Errors, tally.FirstError, tt.want)
			}
		})
	}
}

package ops

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"
)

// serve starts a server for metrics and counts the requests to it.
func serve(t *testing.T, asked *atomic.Int64, lines ...string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprintln(w, strings.Join(lines, "\n"))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/metrics"
}

func open(t *testing.T, cfg Config) *Service {
	t.Helper()
	cfg.DB = new(bun.DB)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func text(n *int64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// TestGather checks that counters are summed over all instances, and that a stream gauge, which
// every instance reports, counts only once, with its largest value.
func TestGather(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	targets := []string{
		serve(t, &asked, `parley_ws_connections 3`, `parley_ws_acks_total{duplicate="false"} 10`, `parley_ws_acks_total{duplicate="true"} 4`, `parley_ws_deliveries_total 1.5e3`,
			`parley_ws_errors_total{code="overloaded"} 2`, `parley_ws_errors_total{code="bad_frame"} 3`),
		serve(t, &asked, `parley_ws_connections 4`, `parley_ws_acks_total{duplicate="true"} 1`),
		serve(t, &asked, `parley_sync_inserted_total 7`, `parley_sync_lag_known 1`, `parley_sync_stream_entries{partition="0"} 5`, `parley_sync_stream_entries{partition="10"} 6`,
			`parley_sync_lag_entries{partition="0"} 2`, `parley_sync_lag_seconds{partition="0"} 1.5`, `parley_sync_dead_entries{partition="10"} 1`, `parley_sync_vanished_total 1`, `parley_sync_redis_memory_ratio 0.5`,
			`parley_sync_pending_entries{partition="x"} 9`),
		serve(t, &asked, `parley_sync_inserted_total{service="sync-service"} 8`, `parley_sync_lag_known 0`, `parley_sync_stream_entries{partition="0"} 4`,
			`parley_sync_lag_entries{partition="0"} 3`, `parley_sync_lag_seconds{partition="10"} 0.5`, `parley_sync_vanished_total 2`, `parley_sync_memory_over_budget 1`, `parley_sync_redis_memory_ratio 0.25`,
			`parley_redis_unsafe{setting="maxmemory"} 0`, `parley_redis_unsafe{setting="appendonly"} 1`),
	}
	m := open(t, Config{Targets: targets}).gather(t.Context(), time.Now())
	got := fmt.Sprint(text(m.Totals.Connections), text(m.Totals.Sends), text(m.Totals.Deliveries), text(m.Totals.Errors), text(m.Totals.Inserted), text(m.Totals.Requests))
	if want := fmt.Sprint("7", "10", "1500", "5", "15", "-"); got != want {
		t.Errorf("totals %s, want %s", got, want)
	}
	s := m.Streams
	if !s.Known || s.Entries != 11 || s.LagEntries != 3 || s.LagSeconds != 1.5 || s.Dead != 1 || s.Pending != 0 || s.Vanished != 3 || !s.MemoryOverBudget || s.MemoryShare == nil || *s.MemoryShare != 0.5 {
		t.Errorf("streams %+v", s)
	}
	if !slices.Equal(s.UnsafeSettings, []string{"appendonly"}) {
		t.Errorf("unsafe settings %q", s.UnsafeSettings)
	}
	if len(m.Partitions) != 2 || m.Partitions[0].Partition != 0 || m.Partitions[1].Partition != 10 || m.Partitions[0].LagEntries != 3 || m.Partitions[1].LagSeconds != 0.5 {
		t.Errorf("partitions %+v", m.Partitions)
	}
	for i, target := range m.Targets {
		if !target.Up || target.Problem != nil || target.URL+"/metrics" != targets[i] {
			t.Errorf("target %d: %+v", i, target)
		}
	}
	if second := m.Targets[1].Figures; text(second.Sends) != "0" || text(second.Errors) != "0" || text(second.Inserted) != "-" || text(second.Retries) != "-" {
		t.Errorf("second instance: sends %s, errors %s, inserted %s, retries %s; want 0, 0, none, none",
			text(second.Sends), text(second.Errors), text(second.Inserted), text(second.Retries))
	}
}

// TestGather_down checks that an instance with a failed or invalid response is reported as down and
// does not affect the other instances.
func TestGather_down(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	gone := httptest.NewServer(http.NotFoundHandler())
	empty := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(func() { close(hang); slow.Close(); empty.Close() })
	gone.Close()
	secret := strings.Replace(serve(t, &asked, `parley_ws_connections 1`), "http://", "http://me:secret@", 1)
	s := open(t, Config{Timeout: 100 * time.Millisecond, Targets: []string{
		slow.URL + "/metrics", gone.URL, empty.URL, serve(t, &asked, "<html>no metrics</html>"), secret,
	}})
	m := s.gather(t.Context(), time.Now())
	for i, want := range []string{"in time", "refused", "404", "did not respond with metrics"} {
		if p := m.Targets[i]; p.Up || p.Problem == nil || !strings.Contains(*p.Problem, want) {
			t.Errorf("target %d: %+v, want down for %q", i, p, want)
		}
	}
	if last := m.Targets[4]; !last.Up || strings.Contains(last.URL, "secret") {
		t.Errorf("instance that responds: %+v", last)
	}
	if text(m.Totals.Connections) != "1" || m.Streams.Known || m.Streams.MemoryShare != nil || len(m.Partitions) != 0 || m.Partitions == nil {
		t.Errorf("totals %s, streams %+v, partitions %+v", text(m.Totals.Connections), m.Streams, m.Partitions)
	}
}

// TestMetrics checks that concurrent viewers cause only one query of an instance.
func TestMetrics(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s := open(t, Config{Fresh: time.Hour, Targets: []string{serve(t, &asked, `parley_ws_connections 1`)}})
	done := make(chan error, 50)
	for range cap(done) {
		go func() {
			_, err := s.metrics(t.Context())
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times for %d viewers, want once", n, cap(done))
	}
	s.cfg.Fresh = 0
	if _, err := s.metrics(t.Context()); err != nil || asked.Load() != 2 {
		t.Errorf("an outdated reading was returned: asked %d times, %v", asked.Load(), err)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"localhost:8080", "ftp://x/metrics", "http://", "::"} {
		if _, err := New(Config{DB: new(bun.DB), Targets: []string{bad}}); err == nil || !strings.Contains(err.Error(), "METRICS_TARGETS") {
			t.Errorf("%q: %v, want an error that names the variable", bad, err)
		}
	}
}

package program_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/internal/platform/program"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/internal/platform/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

// service is a fake service that records the calls to it.
type service struct {
	handler http.Handler
	checks  []telemetry.Check
	parts   []lifecycle.Part

	mu     sync.Mutex
	events []string
	closes error
}

func (s *service) note(event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, event)
}

func (s *service) noted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// part returns a part that runs until its context ends, and records its start and its end.
func (s *service) part(name string, started chan<- struct{}) lifecycle.Part {
	return lifecycle.Part{Name: name, Run: func(ctx context.Context) error {
		s.note("start " + name)
		close(started)
		<-ctx.Done()
		s.note("stop " + name)
		return nil
	}}
}

func (s *service) Handler() http.Handler     { return s.handler }
func (s *service) Checks() []telemetry.Check { return s.checks }
func (s *service) Parts() []lifecycle.Part   { return s.parts }
func (s *service) Close() error              { s.note("close"); return s.closes }

// run runs p until the test ends or stop is called; stop returns the result. addr is the address
// that was passed to New.
func run(t *testing.T, p program.Process, s program.Service) (addr string, stop func() error) {
	t.Helper()
	if p.Addr == "" {
		p.Addr = "127.0.0.1:0"
	}
	p.Name, p.Logger = "test", slog.New(slog.DiscardHandler)
	listens := make(chan string, 1)
	p.New = func(_, addr string, _ *prometheus.Registry) (program.Service, error) {
		listens <- addr
		return s, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }() // stop waits for it
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	return <-listens, stop
}

// get returns the response, or status 0 if nothing listens.
func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// freeAddr returns an address on which nothing listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestRun_servesTheAPIAndTheProbes(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	bad := errors.New("the store is away")
	s := &service{
		handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "api "+r.URL.Path) }),
		checks: []telemetry.Check{{Name: "store", Check: func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			return bad
		}}},
	}
	metricsAddr := freeAddr(t)
	addr, stop := run(t, program.Process{MetricsAddr: metricsAddr}, s)
	if status, body := get(t, "http://"+addr+"/v1/x"); status != 200 || body != "api /v1/x" {
		t.Errorf("the API answers %d %q", status, body)
	}
	if status, _ := get(t, "http://"+addr+"/healthz"); status != 200 {
		t.Errorf("/healthz answers %d", status)
	}
	if status, body := get(t, "http://"+addr+"/readyz"); status != 503 || !strings.Contains(body, "store") {
		t.Errorf("/readyz answers %d %s, want 503 and the name of the check", status, body)
	}
	mu.Lock()
	bad = nil
	mu.Unlock()
	if status, body := get(t, "http://"+addr+"/readyz"); status != 200 {
		t.Errorf("/readyz answers %d %s, want 200", status, body)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if status, body := get(t, "http://"+metricsAddr+"/metrics"); status != 200 || !strings.Contains(body, `service="test"`) {
			return errors.New("no metrics: " + body)
		}
		return nil
	})
	if status, body := get(t, "http://"+addr+"/metrics"); body != "api /metrics" {
		t.Errorf("the public address answers %d with metrics", status)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if status, _ := get(t, "http://"+addr+"/healthz"); status != 0 {
		t.Errorf("after the end something answers %d", status)
	}
}

func TestRun_servesMetricsAtItsAddress(t *testing.T) {
	t.Parallel()
	metricsAddr := freeAddr(t)
	addr, _ := run(t, program.Process{MetricsAddr: metricsAddr, MetricsAtAddr: true}, &service{})
	if status, body := get(t, "http://"+addr+"/metrics"); status != 200 || !strings.Contains(body, `service="test"`) {
		t.Errorf("/metrics answers %d %s", status, body)
	}
	if status, _ := get(t, "http://"+addr+"/v1/x"); status != 404 {
		t.Errorf("without an API, its path answers %d, want 404", status)
	}
	if status, _ := get(t, "http://"+metricsAddr+"/metrics"); status != 0 {
		t.Errorf("the other address answers %d", status)
	}
}

func TestRun_stopsInReverseOrderAndThenCloses(t *testing.T) {
	t.Parallel()
	s := &service{closes: errors.New("closing failed")}
	started := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	first, second := s.part("first", started[0]), s.part("second", started[1])
	s.parts = []lifecycle.Part{first, program.After(started[0], second)}
	_, stop := run(t, program.Process{MetricsAddr: "127.0.0.1:0"}, s)
	for _, c := range started {
		<-c
	}
	if err := stop(); !errors.Is(err, s.closes) {
		t.Errorf("%v, want the error of Close", err)
	}
	if got, want := s.noted(), []string{"start first", "start second", "stop second", "stop first", "close"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRun_endsWithTheErrorOfAPart(t *testing.T) {
	t.Parallel()
	failed := errors.New("part failed")
	s := &service{}
	other := make(chan struct{})
	s.parts = []lifecycle.Part{s.part("other", other), {Name: "failing", Run: func(context.Context) error { <-other; return failed }}}
	p := program.Process{Name: "test", Addr: "127.0.0.1:0", MetricsAddr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), New: func(string, string, *prometheus.Registry) (program.Service, error) { return s, nil }}
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Timeout)
	defer cancel()
	if err := p.Run(ctx); !errors.Is(err, failed) {
		t.Errorf("%v, want %v", err, failed)
	}
	if got, want := s.noted(), []string{"start other", "stop other", "close"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRun_doesNotStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bad := errors.New("bad settings")
	made := 0
	p := program.Process{Name: "test", Addr: taken.Addr().String(), Logger: slog.New(slog.DiscardHandler), New: func(string, string, *prometheus.Registry) (program.Service, error) {
		made++
		return nil, bad
	}}
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), p.Addr) || made != 0 {
		t.Errorf("%v, constructed %d times; want an error that names the address", err, made)
	}
	// Any process may take the port in the meantime, so one success in several attempts is enough.
	for attempt := 1; ; attempt++ {
		p.Addr, made = freeAddr(t), 0
		err := p.Run(t.Context())
		var l net.Listener
		if errors.Is(err, bad) && made == 1 {
			if l, err = net.Listen("tcp", p.Addr); err == nil {
				_ = l.Close()
				return
			}
		}
		if attempt == 10 {
			t.Fatalf("%v, constructed %d times; want the constructor's error and a closed listener", err, made)
		}
	}
}

// If a Cluster does not respond at first, a part detects it later and fails with ErrCluster.
func TestRun_constructsTheServiceAgainForACluster(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		errs []error // of the first service, of the second one
		want error
	}{
		"the second one runs":          {[]error{redisclient.ErrCluster, nil}, nil},
		"it is not tried a third time": {[]error{redisclient.ErrCluster, redisclient.ErrCluster}, redisclient.ErrCluster},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var urls []string
			var made []*service
			p := program.Process{
				Name: "test", Addr: freeAddr(t), MetricsAddr: "127.0.0.1:0", RedisURL: "redis://" + freeAddr(t), Logger: slog.New(slog.DiscardHandler),
				New: func(url, _ string, _ *prometheus.Registry) (program.Service, error) {
					result := test.errs[len(made)]
					s := &service{parts: []lifecycle.Part{{Name: "redis", Run: func(ctx context.Context) error {
						if result == nil {
							cancel()
							<-ctx.Done()
						}
						return result
					}}}}
					urls, made = append(urls, url), append(made, s)
					return s, nil
				},
			}
			if err := p.Run(ctx); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if want := []string{p.RedisURL, redisclient.AsCluster(p.RedisURL)}; !slices.Equal(urls, want) {
				t.Errorf("constructed for %q, want %q", urls, want)
			}
			for i, s := range made {
				if got := s.noted(); !slices.Equal(got, []string{"close"}) {
					t.Errorf("service %d: %q, want it closed once", i, got)
				}
			}
		})
	}
}

// firstRecord is a log that closes a channel at its first record.
type firstRecord struct {
	once sync.Once
	said chan struct{}
}

func (f *firstRecord) Write(b []byte) (int, error) {
	f.once.Do(func() { close(f.said) })
	return len(b), nil
}

func TestRedis_isReadyOnceRedisIsSuitable(t *testing.T) {
	t.Parallel()
	server := redistest.NewServer(t)
	server.Stop(t)
	rdb, err := redisclient.Open(server.URL(), redisclient.Options{NoRetry: true})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	waits := &firstRecord{said: make(chan struct{})} // Await logs that it is waiting
	log := slog.New(slog.NewTextHandler(waits, nil))
	part, ready := program.Redis(rdb, redisclient.NewWatch(rdb, prometheus.NewRegistry(), log), 4, nil, log)
	after := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, p := range []lifecycle.Part{part, program.After(ready, lifecycle.Part{Name: "after", Run: func(context.Context) error {
		select {
		case <-ready:
		default:
			t.Error("the part began before ready")
		}
		close(after)
		return nil
	}})} {
		running.Go(func() {
			if err := p.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	defer running.Wait()
	defer cancel()
	<-waits.said
	select {
	case <-ready:
		t.Error("it is ready without Redis")
	default:
	}
	server.Start(t)
	<-ready
	<-after
}

func TestRedis_endsWithItsContext(t *testing.T) {
	t.Parallel()
	rdb, err := redisclient.Open("redis://"+freeAddr(t), redisclient.Options{NoRetry: true})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	log := slog.New(slog.DiscardHandler)
	part, ready := program.Redis(rdb, redisclient.NewWatch(rdb, prometheus.NewRegistry(), log), 4, nil, log)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ran := false
	after := program.After(ready, lifecycle.Part{Run: func(context.Context) error { ran = true; return nil }})
	if err := errors.Join(part.Run(ctx), after.Run(ctx)); err != nil || ran {
		t.Errorf("%v; the part ran: %v", err, ran)
	}
}

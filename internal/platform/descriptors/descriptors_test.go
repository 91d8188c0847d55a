package descriptors_test

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/platform/descriptors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const within = time.Minute

// serve serves h on l with at most maxConns plain connections, and returns the address.
func serve(t *testing.T, l net.Listener, maxConns int, h http.Handler, log *testkit.Output) string {
	t.Helper()
	d := descriptors.Listen(l, maxConns, slog.New(slog.NewTextHandler(log, nil)))
	s := &http.Server{
		Handler: d.Serving(h), ConnState: d.State, ConnContext: d.Context, ReadHeaderTimeout: time.Hour,
		ErrorLog: slog.NewLogLogger(slog.NewTextHandler(log, nil), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(d) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve = %v", err)
		}
	})
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{Timeout: within}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(within))
	return c
}

// ask sends a request and returns its status line.
func ask(t *testing.T, c net.Conn, path string) string {
	t.Helper()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return line
}

// Clients that connect and send nothing, or half a request, do not block others.
func TestListener_closesSilentConnections(t *testing.T) {
	t.Parallel()
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	addr := serve(t, listen(t), 4, h, &testkit.Output{})
	for i := range 20 {
		c := dial(t, addr)
		if i%2 == 0 {
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost:")
		}
	}
	if line := ask(t, dial(t, addr), "/readyz"); !strings.Contains(line, "204") {
		t.Errorf("%q", line)
	}
}

// A request that is being handled is not dropped to make room for a new connection.
func TestListener_keepsServedConnections(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}, 2), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begun <- struct{}{}
			<-release
		}
		w.WriteHeader(http.StatusNoContent)
	})
	addr := serve(t, listen(t), 2, h, &testkit.Output{})
	answers := make(chan string, 3)
	get := func(c net.Conn, path string) {
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
		line, err := bufio.NewReader(c).ReadString('\n')
		answers <- fmt.Sprint(line, err)
	}
	var all sync.WaitGroup
	defer all.Wait()
	for range 2 {
		c := dial(t, addr)
		all.Go(func() { get(c, "/slow") })
		<-begun
	}
	c := dial(t, addr)
	all.Go(func() { get(c, "/next") }) // waits in the backlog
	left := 3
	// Wait for longer than a silent connection may stay open, because a check that closes nothing
	// causes no event.
	select {
	case a := <-answers:
		t.Errorf("answered while both places are taken: %s", a)
		left--
	case <-time.After(1500 * time.Millisecond):
	}
	close(release)
	for range left {
		if a := <-answers; !strings.Contains(a, "204") {
			t.Errorf("%s", a)
		}
	}
}

// A hijacked connection does not count.
func TestListener_hijacked(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var taken []net.Conn
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		taken = append(taken, c)
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
	})
	addr := serve(t, listen(t), 1, h, &testkit.Output{})
	for range 5 {
		if line := ask(t, dial(t, addr), "/"); !strings.Contains(line, "101") {
			t.Fatalf("%q", line)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, c := range taken {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Errorf("a connection that was taken over is closed: %v", err)
		}
		_ = c.Close()
	}
}

// failing is a listener whose first accepts fail because there are no descriptors left.
type failing struct {
	net.Listener
	mu   sync.Mutex
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	f.mu.Lock()
	fails := f.left > 0
	f.left--
	f.mu.Unlock()
	if fails {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

// A lack of descriptors is logged with one line when it begins, not one per attempt, and with
// another line when it is over.
func TestListener_lackOfDescriptors(t *testing.T) {
	t.Parallel()
	log := &testkit.Output{}
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	addr := serve(t, &failing{Listener: listen(t), left: 5}, 4, h, log)
	if line := ask(t, dial(t, addr), "/"); !strings.Contains(line, "204") {
		t.Errorf("%q", line)
	}
	got := log.String()
	if strings.Count(got, "no file descriptor is left") != 1 || strings.Count(got, "accepted again") != 1 || strings.Count(got, "\n") != 2 {
		t.Errorf("log:\n%s", got)
	}
}

func TestPlain(t *testing.T) {
	for limit, want := range map[int]int{0: 4096, 100: 64, 1024: 128, 1 << 20: 4096} {
		if got := descriptors.Plain(limit); got != want {
			t.Errorf("Plain(%d) = %d, want %d", limit, got, want)
		}
	}
	if l := descriptors.Limit(); l < 0 {
		t.Errorf("Limit() = %d", l)
	}
}

package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
)

// terminal collects the output of a program. mu guards b: the program writes it and the test reads
// it.
type terminal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *terminal) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// await waits until the output matches a pattern, and returns the match of the pattern's group.
func (o *terminal) await(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var caught string
	testkit.Until(t, testkit.Timeout, func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		m := re.FindSubmatch(o.b.Bytes())
		if m == nil {
			return fmt.Errorf("no %q in\n%s", pattern, o.b.Bytes())
		}
		caught = string(m[len(m)-1])
		return nil
	})
	return caught
}

// person runs parley-chat interactively. It returns a function that types a line, and the output.
func person(t *testing.T, args ...string) (io.Writer, *terminal) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(proctest.Build(t, "parley-chat"), "parley-chat"), args...)
	out := &terminal{}
	cmd.Stdout, cmd.Stderr = out, out
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // the end of the input ends the program
		_ = cmd.Wait()
	})
	return in, out
}

// TestPrograms lets the SDK's terminal client and bot talk to each other.
func TestPrograms(t *testing.T) {
	w := newWorld(t)
	front := w.front()
	file := filepath.Join(t.TempDir(), "session.json")
	in, out := person(t, "-url", front, "-as", "ann", "-signup", "ann@example.test", "-session", file)
	typed := func(format string, args ...any) {
		t.Helper()
		if _, err := fmt.Fprintf(in, format+"\n", args...); err != nil {
			t.Fatal(err)
		}
	}
	out.await(t, "password of ann: ")
	typed("correct horse battery")
	out.await(t, "· online")
	typed("/create tea")
	channel := out.await(t, `others join with /join (\S+)`)
	out.await(t, `in tea, 0 unread`)
	proctest.Start(t, "echo-bot", []string{"-url", front, "-join", channel}, map[string]string{"ECHO_PASSWORD": "correct horse echo"})
	out.await(t, `tea: echo joined`)
	typed("!echo good morning")
	out.await(t, `\[tea\] \d\d:\d\d echo: good morning\n`)
	out.await(t, `✓✓ \d+ read`) // the bot reports that
	typed("/who")
	out.await(t, `· [12] online`) // a user who just connected is counted a little later
	typed("/edit !echo good evening")
	out.await(t, `ann: !echo good evening \(edited\)`)
	typed("/dm echo just us")
	out.await(t, `\[@echo\] \d\d:\d\d echo: just us\n`)
	typed("/quit")

	// The session was stored.
	_, again := person(t, "-url", front, "-session", file)
	again.await(t, `echo: (good morning|just us)\n`)
}

// front serves everything at one address, like nginx: /ws goes to a gateway and everything else to
// chat-service.
func (w *world) front() string {
	w.t.Helper()
	proxy := func(base string) *httputil.ReverseProxy {
		u, err := url.Parse(base)
		if err != nil {
			w.t.Fatal(err)
		}
		p := httputil.NewSingleHostReverseProxy(u)
		p.ErrorLog = log.New(io.Discard, "", 0)
		return p
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", proxy(w.ws[0].base))
	mux.Handle("/", proxy(w.chat.base))
	server := httptest.NewServer(mux)
	w.t.Cleanup(server.Close)
	return server.URL
}

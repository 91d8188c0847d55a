package standalone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"parley.chat/internal/platform/telemetry"
)

// progress prints the steps of the startup and their durations. It is not safe for concurrent use.
type progress struct {
	w     io.Writer
	first time.Time // start of the program
	since time.Time // start of the current step
	open  bool      // the current line is incomplete
	shown bool      // something was printed
}

func newProgress(w io.Writer) *progress {
	if w == nil {
		w = io.Discard
	}
	return &progress{w: w, first: time.Now()}
}

func (p *progress) title(format string, args ...any) {
	p.shown = true
	fmt.Fprintf(p.w, format+"\n", args...)
}

// begin starts the output line of a startup step with the step's name and details. done or end
// completes the line.
func (p *progress) begin(what, format string, args ...any) {
	p.since, p.open = time.Now(), true
	fmt.Fprintf(p.w, "  %-12s%s … ", what, fmt.Sprintf(format, args...))
}

func (p *progress) done(format string, args ...any) {
	p.open = false
	fmt.Fprintf(p.w, "%s (%s)\n", fmt.Sprintf(format, args...), seconds(time.Since(p.since)))
}

func (p *progress) note(format string, args ...any) {
	fmt.Fprintf(p.w, "  %-12s%s\n", "", fmt.Sprintf(format, args...))
}

// end prints the last message.
func (p *progress) end(err error, dir string) {
	if p.open {
		p.open = false
		fmt.Fprintln(p.w)
	}
	if err == nil && p.shown {
		fmt.Fprintf(p.w, "Stopped. The data is kept in %s\n", dir)
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// slowStart is how long the program waits for the services before it prints the name of a readiness
// check that does not pass yet.
const slowStart = 5 * time.Second

// announcer reports that all services are ready, and prints example commands.
type announcer struct {
	progress *progress
	checks   []telemetry.Check
	run      Running
	opts     Options
}

// announce prints a message once all services are ready, and another one when ctx is done. It
// starts after everything else, so it stops first.
func (h *announcer) announce(ctx context.Context) error {
	p := h.progress
	p.begin("Services", "chat-service, ws-server, sync-service")
	if !h.await(ctx) {
		return nil
	}
	p.done("ready")
	fmt.Fprintf(p.w, "\nParley is up after %s: %s\n", seconds(time.Since(p.first)), h.run.URL)
	if h.opts.Hints {
		fmt.Fprint(p.w, hints(h.run.URL, command()))
	}
	if h.opts.Ready != nil {
		h.opts.Ready(h.run)
	}
	<-ctx.Done()
	fmt.Fprintln(p.w, "\nStopping …")
	return nil
}

// await waits until every check passes, and returns true. If ctx is done first, it returns false.
func (h *announcer) await(ctx context.Context) bool {
	told := false
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		name, err := h.failing(ctx)
		if err == nil {
			return true
		}
		if !told && time.Since(h.progress.since) > slowStart {
			told = true
			fmt.Fprintf(h.progress.w, "waiting for %s: %v … ", name, err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// failing returns the name and the error of the first check that does not pass.
func (h *announcer) failing(ctx context.Context) (string, error) {
	for _, c := range h.checks {
		err := c.Check(ctx)
		if state, ok := errors.AsType[*telemetry.StateError](err); c.Optional || ok && state.Degraded {
			continue // it counts as ready
		}
		if err != nil {
			return c.Name, err
		}
	}
	return "", nil
}

// command returns a command line that runs this program from the current directory. It is printed
// in the hints.
func command() string {
	path := cmp.Or(os.Args[0], "standalone")
	if strings.HasPrefix(path, filepath.Join(os.TempDir(), "go-build")) {
		return "go run parley.chat/standalone/cmd/standalone" // go run deletes its binary when it ends
	}
	here, err := os.Getwd()
	if err != nil || !filepath.IsAbs(path) {
		return path
	}
	if relative, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(relative) {
		return "." + string(filepath.Separator) + relative
	}
	return path
}

// hints returns example commands to paste into a terminal. They contain a random number, because a
// user name or a channel name can be used only once.
func hints(url, command string) string {
	n := 1000 + rand.IntN(9000)
	ws := "ws" + strings.TrimPrefix(url, "http") + "/ws"
	json := "-H 'Content-Type: application/json' -d"
	return fmt.Sprintf(`
Open it in a browser, or try it in another terminal: sign up, create a channel, talk in it.

  curl -c parley.cookies %[1]s/v1/signup %[2]s '{"username":"ada-%[3]d","email":"ada-%[3]d@example.com","password":"correct horse battery"}'
  curl -b parley.cookies %[1]s/v1/channels %[2]s '{"name":"tea-%[3]d","kind":"public"}'
  %[4]s talk -b parley.cookies %[5]s

Any WebSocket client works for the last step:

  npx -y wscat -c %[5]s -H "Cookie: $(awk '$6=="access_token"{print $6"="$7}' parley.cookies)"

Ctrl-C stops everything and keeps the data.
`, url, json, n, command, ws)
}

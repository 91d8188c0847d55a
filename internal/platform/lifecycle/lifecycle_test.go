package lifecycle_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"parley.chat/internal/platform/lifecycle"
)

// TestMain also lets the test binary act as the program that the tests of Main start.
func TestMain(m *testing.M) {
	switch os.Getenv("LIFECYCLE_TEST_MAIN") {
	case "":
		goleak.VerifyTestMain(m)
	case "wait":
		lifecycle.Main(func(ctx context.Context, _ []string, _ func(string) string, stderr io.Writer) error {
			io.WriteString(stderr, "ready\n")
			<-ctx.Done()
			io.WriteString(stderr, "stopping\n")
			return nil
		})
	case "hang":
		lifecycle.Main(func(ctx context.Context, _ []string, _ func(string) string, stderr io.Writer) error {
			io.WriteString(stderr, "ready\n")
			<-ctx.Done()
			io.WriteString(stderr, "stopping\n")
			select {}
		})
	case "fail":
		lifecycle.Main(func(context.Context, []string, func(string) string, io.Writer) error { return errors.New("no luck") })
	case "code":
		lifecycle.Main(func(context.Context, []string, func(string) string, io.Writer) error { return coded{} })
	}
}

type coded struct{}

func (coded) Error() string { return "could not check" }
func (coded) ExitCode() int { return 2 }

var quiet = slog.New(slog.DiscardHandler)

// diary records the actions of the parts, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) part(name string, result error) lifecycle.Part {
	return lifecycle.Part{Name: name, Run: func(ctx context.Context) error {
		<-ctx.Done()
		d.add(name + " told")
		time.Sleep(time.Second) // in fake time, so a part that was stopped too early would finish first
		d.add(name + " done")
		return result
	}}
}

func TestRun_stopsInReverseOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := lifecycle.Run(ctx, quiet, 10*time.Second, d.part("store", nil), d.part("feed", context.Canceled), d.part("http", nil))
		if err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		want := []string{"http told", "http done", "feed told", "feed done", "store told", "store done"}
		if !reflect.DeepEqual(d.lines, want) {
			t.Errorf("order = %q, want %q", d.lines, want)
		}
	})
}

func TestRun_firstErrorStopsAll(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name   string
		result error
		want   error
	}{{"error", broken, broken}, {"nil", nil, lifecycle.ErrStoppedByItself}, {"canceled by somebody else", context.Canceled, context.Canceled}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var d diary
				err := lifecycle.Run(t.Context(), quiet, 10*time.Second, d.part("store", errors.New("later")),
					lifecycle.Part{Name: "feed", Run: func(context.Context) error { return tt.result }}, d.part("http", nil))
				if !errors.Is(err, tt.want) || !strings.HasPrefix(err.Error(), "feed: ") {
					t.Errorf("Run = %v, want feed's %v", err, tt.want)
				}
				if len(d.lines) != 4 {
					t.Errorf("parts = %q, want both of the others stopped", d.lines)
				}
			})
		})
	}
}

func TestRun_errorWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var d diary
		err := lifecycle.Run(ctx, quiet, 0, d.part("store", errors.New("lost a batch")), d.part("http", nil))
		if err == nil || err.Error() != "store: lost a batch" {
			t.Errorf("Run = %v, want store: lost a batch", err)
		}
	})
}

func TestRun_namesThePartThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		release := make(chan struct{})
		defer close(release)
		hang := lifecycle.Part{Name: "http", Run: func(context.Context) error { <-release; return nil }}
		quick := make(chan struct{})
		store := lifecycle.Part{Name: "store", Run: func(ctx context.Context) error { <-ctx.Done(); close(quick); return nil }}
		begin := time.Now()
		err := lifecycle.Run(ctx, quiet, 5*time.Second, store, hang)
		if err == nil || !strings.Contains(err.Error(), "http: did not stop") {
			t.Errorf("Run = %v, want it to name http", err)
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("Run took %v, want the drain deadline", took)
		}
		select {
		case <-quick:
		default:
			t.Error("the part below the one that hangs was not stopped")
		}
	})
}

func program(t *testing.T, mode string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "LIFECYCLE_TEST_MAIN="+mode)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(stderr)
}

func expect(t *testing.T, s *bufio.Scanner, want string) {
	t.Helper()
	if !s.Scan() || !strings.HasSuffix(s.Text(), want) {
		t.Fatalf("stderr = %q, want %q", s.Text(), want)
	}
}

func TestMain_signals(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd, stderr := program(t, "wait")
		expect(t, stderr, "ready")
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		expect(t, stderr, "stopping")
		if err := cmd.Wait(); err != nil {
			t.Errorf("after %v: %v, want a clean exit", sig, err)
		}
	}
}

func TestMain_secondSignalKills(t *testing.T) {
	cmd, stderr := program(t, "hang")
	expect(t, stderr, "ready")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	expect(t, stderr, "stopping")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// The handler is removed just after the context is canceled, so it may still catch one more
	// signal.
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case err := <-ended:
			tick.Stop()
			if cmd.ProcessState.Success() {
				t.Errorf("second signal: %v, want the process killed", err)
			}
			return
		case <-tick.C:
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}
}

func TestMain_errors(t *testing.T) {
	for mode, want := range map[string]struct {
		line string
		code int
	}{"fail": {"no luck", 1}, "code": {"could not check", 2}} {
		cmd, stderr := program(t, mode)
		expect(t, stderr, ": "+want.line)
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != want.code {
			t.Errorf("%s: exit code %d, want %d", mode, cmd.ProcessState.ExitCode(), want.code)
		}
	}
}

// Package proctest runs Parley's programs as separate processes.
package proctest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/internal/devkit/subprocess"
	"parley.chat/internal/devkit/testkit"
)

// built records what this process has built.
var built = struct {
	sync.Mutex
	dir  string
	done map[string]error
}{done: map[string]error{}}

// Build builds programs of the workspace by name ("chat-service", "migrate", …) and returns the
// folder that contains them. It builds each program once per test process. If PARLEY_BIN_DIR is
// set, it uses the programs that are already built there.
func Build(t testing.TB, names ...string) string {
	t.Helper()
	if dir := os.Getenv("PARLEY_BIN_DIR"); dir != "" {
		for _, name := range names {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Fatalf("proctest: PARLEY_BIN_DIR: %v (make build)", err)
			}
		}
		return dir
	}
	built.Lock()
	defer built.Unlock()
	for _, name := range names {
		err, done := built.done[name]
		if !done {
			err = build(name)
			built.done[name] = err
		}
		if err != nil {
			t.Fatalf("proctest: build %s: %v", name, err)
		}
	}
	return built.dir
}

// build builds a program into a folder that all runs share, because a folder per run would never be
// removed. The Go tool rebuilds the program if necessary. build renames the finished file, so that
// packages can build at the same time and processes that run the old file are not affected.
func build(name string) error {
	root, err := goTool("env", "GOWORK")
	if err != nil {
		return err
	}
	if root == "" || root == "off" {
		return errors.New("not in the workspace: GOWORK is off")
	}
	list, err := goTool("list", "-f", `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`, "work")
	if err != nil {
		return err
	}
	i := slices.IndexFunc(strings.Fields(list), func(p string) bool { return path.Base(p) == name })
	if i < 0 {
		return errors.New("no such program in the workspace")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // HOME is not set
	}
	dir := filepath.Join(cache, "parley-proctest", strings.ReplaceAll(filepath.Dir(root), string(filepath.Separator), "_"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	fresh := filepath.Join(dir, fmt.Sprintf(".%s.%d", name, os.Getpid()))
	if _, err := goTool("build", "-o", fresh, strings.Fields(list)[i]); err != nil {
		return err
	}
	built.dir = dir
	return os.Rename(fresh, filepath.Join(dir, name))
}

func goTool(args ...string) (string, error) {
	var stderr bytes.Buffer
	cmd := exec.Command("go", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// Process is one of Parley's programs, started by a test.
type Process struct {
	Name string
	proc *subprocess.Process
	logs *buffer
}

// freeAddresses lists settings whose default ports would collide if a test started several
// programs. They get a free port unless the test sets them.
var freeAddresses = []string{"CHAT_METRICS_ADDR", "WS_METRICS_ADDR"}

// Start builds the program if necessary and starts it with env, PATH and HOME as its environment.
// When the test ends, Start's cleanup kills the program and, if the test failed, shows the
// program's output.
func Start(t testing.TB, name string, args []string, env map[string]string) *Process {
	t.Helper()
	return StartPath(t, filepath.Join(Build(t, name), name), args, env)
}

// StartPath is Start for any executable.
func StartPath(t testing.TB, path string, args []string, env map[string]string) *Process {
	t.Helper()
	environment := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	for _, name := range freeAddresses {
		if _, set := env[name]; !set {
			environment = append(environment, name+"=127.0.0.1:0")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		environment = append(environment, name+"="+env[name])
	}
	p := &Process{Name: filepath.Base(path), logs: &buffer{}}
	var err error
	p.proc, err = subprocess.Start(subprocess.Spec{Path: path, Args: args, Env: environment, Dir: t.TempDir(), Output: p.logs})
	if err != nil {
		t.Fatalf("proctest: %v", err)
	}
	t.Cleanup(func() {
		if err := p.proc.Kill(); err != nil {
			t.Errorf("proctest: %v", err)
		}
		if t.Failed() {
			t.Logf("output of %s (process %d):\n%s", p.Name, p.proc.Pid(), p.logs.String())
		}
	})
	return p
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.proc.Pid() }

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.proc.Done() }

// Output returns the program's standard output and standard error so far.
func (p *Process) Output() string { return p.logs.String() }

// Kill sends SIGKILL and waits until the process has ended.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	if err := p.proc.Kill(); err != nil {
		t.Fatalf("proctest: %v", err)
	}
}

// Signal sends sig to the process. SIGSTOP and SIGCONT pause and resume it.
func (p *Process) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := p.proc.Signal(sig); err != nil {
		t.Fatalf("proctest: %v", err)
	}
}

// Term sends SIGTERM to the process and waits for a clean exit.
func (p *Process) Term(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	if err := errors.Join(p.proc.Stop(ctx, syscall.SIGTERM), p.proc.Err()); err != nil {
		t.Errorf("proctest: stop %s: %v", p.Name, err)
	}
}

// Wait waits until the process has ended and returns its exit code, or -1 if a signal killed it.
func (p *Process) Wait(t testing.TB, timeout time.Duration) int {
	t.Helper()
	select {
	case <-p.proc.Done():
	case <-time.After(timeout):
		t.Fatalf("proctest: %s still runs after %v", p.Name, timeout)
	}
	if e, ok := errors.AsType[*exec.ExitError](p.proc.Err()); ok {
		return e.ExitCode()
	}
	return 0
}

// WaitReady waits until a GET request for url returns 200. It fails the test if the process ends
// first.
func (p *Process) WaitReady(t testing.TB, url string) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	testkit.Until(t, testkit.Timeout, func() error {
		select {
		case <-p.proc.Done():
			t.Fatalf("proctest: %s ended while starting: %v", p.Name, p.proc.Err())
		default:
		}
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s: %s", url, resp.Status, body)
		}
		return err
	})
}

// FreePort returns a loopback port that no process listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := localserver.FreePort()
	if err != nil {
		t.Fatalf("proctest: %v", err)
	}
	return port
}

// buffer collects a process's output. mu guards b, which the process writes and the test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

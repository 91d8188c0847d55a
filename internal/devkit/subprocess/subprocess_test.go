package subprocess_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/subprocess"
	"parley.chat/internal/devkit/testkit"
)

// TestMain also lets the test binary act as a parent that is killed.
func TestMain(m *testing.M) {
	if os.Getenv("CHILD_TEST_PARENT") == "" {
		goleak.VerifyTestMain(m)
		return
	}
	p, err := subprocess.Start(subprocess.Spec{Path: "/bin/sleep", Args: []string{"600"}})
	if err != nil {
		panic(err)
	}
	fmt.Println(p.Pid())
	<-p.Done()
}

func TestStart_output(t *testing.T) {
	var out bytes.Buffer
	p, err := subprocess.Start(subprocess.Spec{Path: "/bin/sh", Args: []string{"-c", "echo $A; echo err >&2; exit 3"}, Env: []string{"A=b"}, Output: &out})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if out.String() != "b\nerr\n" || p.Tail() != "b\nerr" {
		t.Errorf("output %q, tail %q", out.String(), p.Tail())
	}
	if e, ok := errors.AsType[*exec.ExitError](p.Err()); !ok || e.ExitCode() != 3 {
		t.Errorf("Err = %v, want exit status 3", p.Err())
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("Signal after the end = %v, want nil", err)
	}
}

func TestStart_missing(t *testing.T) {
	if _, err := subprocess.Start(subprocess.Spec{Path: "/nonexistent"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start = %v, want not found", err)
	}
}

func TestStop(t *testing.T) {
	p, err := subprocess.Start(subprocess.Spec{Path: "/bin/sh", Args: []string{"-c", "trap '' TERM; echo ready; while :; do sleep 0.01; done"}})
	if err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if p.Tail() != "ready" {
			return errors.New("the child has not said that it is ready")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx, syscall.SIGTERM); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop = %v, want the deadline", err)
	}
	if p.Err() == nil {
		t.Error("Err = nil after a kill")
	}
}

// TestParentDeath checks that a child dies when its parent is killed (Linux).
func TestParentDeath(t *testing.T) {
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), "CHILD_TEST_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 32)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		t.Fatal(err)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	testkit.Until(t, testkit.Timeout, func() error {
		if alive(pid) {
			return fmt.Errorf("child %d outlives its parent", pid)
		}
		return nil
	})
}

// alive reports whether pid is running; a zombie does not count.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// Package subprocess runs a program as a child process that does not outlive its parent.
//
// A child has its own process group. So Ctrl-C in a terminal reaches only this process, which then
// stops the children in order. On Linux, the kernel signals the child when this process dies, even
// if SIGKILL killed it. For each child, one goroutine is locked to its thread until the child ends.
package subprocess

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Spec describes the program to run. Only Path is required.
type Spec struct {
	Path          string
	Args          []string            // without the program's name
	Env           []string            // nil: the environment of this process
	Dir           string              // empty: the working directory of this process
	Output        io.Writer           // receives stdout and stderr; only one goroutine writes to it
	Files         []*os.File          // the child inherits these files as descriptors 3, 4, …
	Credential    *syscall.Credential // nil: the user of this process
	OnParentDeath syscall.Signal      // default SIGKILL; Linux only
}

// Process is a child process that is running or has ended. It is safe for concurrent use.
type Process struct {
	name string
	cmd  *exec.Cmd
	tail *tail
	done chan struct{}
	err  error // the result of cmd.Wait; written before done is closed
}

// Start runs the program that spec describes. The caller must stop the program, or let it die with
// this process.
func Start(spec Spec) (*Process, error) {
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env, cmd.Dir, cmd.ExtraFiles = spec.Env, spec.Dir, spec.Files
	// A process that outlives the child, such as a backend of a killed postmaster, may keep the
	// output pipe open for a while.
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: spec.Credential}
	dieWithParent(cmd.SysProcAttr, cmp.Or(spec.OnParentDeath, syscall.SIGKILL))
	p := &Process{name: filepath.Base(spec.Path), cmd: cmd, tail: &tail{to: spec.Output}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.tail, p.tail

	started := make(chan error, 1)
	go func() {
		// The kernel treats the death of the thread that forked the child as the death of the
		// parent. So this thread must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Path, err)
	}
	return p, nil
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done returns a channel that is closed when the child has ended and its output has been read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns the child's exit error. It returns nil while the child is running and if it exited
// with code 0.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Tail returns the last part of the child's output, for error messages.
func (p *Process) Tail() string { return p.tail.String() }

// Signal sends sig. It is not an error if the child has already ended.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Stop sends sig and waits until the child ends. If ctx is done first, it kills the child and
// returns an error. Stop ignores the exit code, which Err reports.
func (p *Process) Stop(ctx context.Context, sig syscall.Signal) error {
	if err := p.Signal(sig); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return fmt.Errorf("%s did not stop on %v and was killed: %w", p.name, sig, context.Cause(ctx))
}

// Kill sends SIGKILL and waits until the child ends.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// tailBytes is the number of bytes that are kept from the end of the output, for error messages.
const tailBytes = 8 << 10

// tail forwards the child's output and keeps the end of it.
type tail struct {
	to io.Writer

	mu   sync.Mutex // guards last, which exec's copying goroutine writes and other goroutines read
	last []byte
}

// Write never returns an error. If it did, a failing log would close the child's output pipe, which
// could kill the child.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.last = append(t.last, b...)
	if over := len(t.last) - tailBytes; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	t.mu.Unlock()
	if t.to != nil {
		_, _ = t.to.Write(b)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.last))
}

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// ExitCoder is an error that determines the exit code of the program.
type ExitCoder interface {
	error
	ExitCode() int
}

// Main is the body of a main function. It calls run with a context that is canceled on SIGINT or
// SIGTERM, and prints the error that run returns to standard error. After an error, the program
// exits with 1 or, if the error is an ExitCoder, with its exit code. A second signal kills the
// process immediately.
func Main(run func(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // restores the default action, so the next signal ends the process
	err := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	if err == nil {
		return
	}
	code := 1
	// An *exec.ExitError of a child process also implements ExitCoder, but its code is not ours.
	_, child := errors.AsType[*exec.ExitError](err)
	if e, ok := errors.AsType[ExitCoder](err); ok && !child {
		code = e.ExitCode()
	}
	if msg := err.Error(); msg != "" {
		fmt.Fprintf(os.Stderr, "%s: %s\n", filepath.Base(os.Args[0]), msg)
	}
	os.Exit(code)
}

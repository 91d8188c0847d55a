package localserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"parley.chat/internal/devkit/subprocess"
)

// pollEvery is how often a condition of another process is looked at: whether it answers, or has let
// go of its lock. There is nothing to wait on instead.
const pollEvery = 10 * time.Millisecond

// handover is how long a server whose parent died may take to let go of its data.
const handover = 15 * time.Second

// lock takes the lock file of a data directory. The server inherits the descriptor, so the lock is
// held until the server and the last of its own children are gone, even if we die first: whoever gets
// it knows that nobody uses the data. A server that is just stopping is waited for.
func lock(ctx context.Context, path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, handover)
	defer cancel()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		select {
		case <-ctx.Done():
			owner := make([]byte, 32)
			n, _ := file.ReadAt(owner, 0) // the pid is a courtesy; without it the message still holds
			who := "another process"
			if pid := strings.TrimSpace(string(owner[:n])); pid != "" {
				who = "process " + pid
			}
			return nil, errors.Join(fmt.Errorf("the data beside %s is in use by %s; stop it, or set DATA_DIR to another folder", path, who), file.Close())
		case <-time.After(pollEvery):
		}
	}
}

// sign writes the server's pid into the lock file, for the message above.
func sign(file *os.File, pid int) {
	_ = file.Truncate(0) // a courtesy, see lock
	_, _ = file.WriteAt([]byte(strconv.Itoa(pid)+"\n"), 0)
}

// errExited stands for a clean exit where none was wanted.
var errExited = errors.New("exit code 0")

// waitReady asks ready until it returns nil. It gives up when the process ends or ctx does.
func waitReady(ctx context.Context, p *subprocess.Process, what string, ready func(context.Context) error) error {
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.Done():
			return fmt.Errorf("%s ended while starting: %w\n%s", what, cmp.Or(p.Err(), errExited), p.Tail())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("wait for %s: %w (last: %w)\n%s", what, context.Cause(ctx), err, p.Tail()), p.Kill())
		case <-time.After(pollEvery):
		}
	}
}

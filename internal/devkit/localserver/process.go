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

// pollInterval is the interval at which this process polls a server: until the server answers, or
// until it has released its lock. Neither change causes an event that this process could wait for.
const pollInterval = 10 * time.Millisecond

// lockTimeout limits how long lock waits for a server whose parent has died to release the lock
// file.
const lockTimeout = 15 * time.Second

// lock locks the lock file of a data directory. The server inherits the descriptor, so the lock is
// held until the server and all its children have ended, even if this process dies first. While a
// process holds the lock, no other server uses the data. If a server is still stopping, lock waits
// for it.
func lock(ctx context.Context, path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
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
			n, _ := file.ReadAt(owner, 0) // the pid is optional in the message
			who := "another process"
			if pid := strings.TrimSpace(string(owner[:n])); pid != "" {
				who = "process " + pid
			}
			return nil, errors.Join(fmt.Errorf("the data next to %s is in use by %s; stop it, or set DATA_DIR to another folder", path, who), file.Close())
		case <-time.After(pollInterval):
		}
	}
}

// writeOwner writes the server's pid into the lock file, for lock's error message.
func writeOwner(file *os.File, pid int) {
	_ = file.Truncate(0) // an error only affects that message
	_, _ = file.WriteAt([]byte(strconv.Itoa(pid)+"\n"), 0)
}

// errExited reports that a process exited with code 0 although it was not stopped.
var errExited = errors.New("exit code 0")

// waitReady calls ready repeatedly until ready returns nil. It fails if the process ends or ctx is
// done.
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
		case <-time.After(pollInterval):
		}
	}
}

//go:build darwin || linux

package token

import (
	"errors"
	"os"
	"syscall"
)

// lock locks a file and returns a function that unlocks it. The operating system releases the lock
// if the process dies.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

//go:build unix && !solaris && !aix

package main

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks an open file, unless another program has locked it. Closing the file releases the
// lock.
func tryLock(f *os.File) (locked bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	return err == nil, err
}

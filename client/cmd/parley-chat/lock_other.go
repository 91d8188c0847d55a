//go:build !unix || solaris || aix

package main

import "os"

// tryLock does nothing, because the standard library cannot lock files on this system. Two programs
// that renew the token at the same moment may end the session.
func tryLock(*os.File) (locked bool, err error) { return true, nil }

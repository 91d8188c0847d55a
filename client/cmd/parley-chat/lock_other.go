//go:build !unix || solaris || aix

package main

import "os"

// tryLock does nothing, because the standard library cannot lock files on this operating system. If
// two programs renew the token at the same time, the server may end the session.
func tryLock(*os.File) (locked bool, err error) { return true, nil }

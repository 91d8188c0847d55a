//go:build !linux

package subprocess

import "syscall"

// dieWithParent does nothing: only Linux can tie a child to its parent. Elsewhere a child outlives a
// parent that was killed with SIGKILL.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

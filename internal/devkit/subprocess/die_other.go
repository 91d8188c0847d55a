//go:build !linux

package subprocess

import "syscall"

// dieWithParent does nothing, because only Linux can signal a child when its parent dies. On other
// systems, a child outlives a parent that is killed with SIGKILL.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

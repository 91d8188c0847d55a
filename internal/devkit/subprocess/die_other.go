//go:build !linux

package subprocess

import "syscall"

// dieWithParent does nothing: only Linux can signal a child when its parent dies. Elsewhere a child
// outlives a parent that was killed with SIGKILL.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

//go:build unix

package descriptors

import (
	"math"
	"syscall"
)

// Limit returns the number of file descriptors that the process may have open, or 0 if that number
// is unknown or unlimited. Go raises the soft limit to the hard limit when a program starts.
func Limit() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil || r.Cur > math.MaxInt32 {
		return 0
	}
	return int(r.Cur)
}

package socket

import (
	"syscall"
	"unsafe"
)

const direct = true

func read(fd uintptr, b []byte) (int, syscall.Errno) { return call(syscall.SYS_RECVFROM, fd, b) }

func write(fd uintptr, b []byte) (int, syscall.Errno) {
	if len(b) == 0 {
		return 0, 0
	}
	return call(syscall.SYS_SENDTO, fd, b)
}

// call calls sendto or recvfrom on a socket, without blocking; trap is the number of the system
// call. The system calls read and write would take about 4% longer, because they go through the
// file system layer. b must not be empty.
func call(trap, fd uintptr, b []byte) (int, syscall.Errno) {
	for {
		n, _, err := syscall.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		switch err {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}

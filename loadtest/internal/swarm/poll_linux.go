package swarm

import (
	"errors"
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller waits for sockets and for one timer. It is edge-triggered: it reports a socket only when
// new data arrives, not as long as there is unread data. This way the kernel checks each socket
// once instead of twice.
type poller struct {
	fd, timer int
	events    [128]unix.EpollEvent
}

const (
	ended    = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	readable = unix.EPOLLIN | ended
	writable = unix.EPOLLOUT
	timerID  = -1
)

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a poller: %w", err)
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a timer: %w", err), unix.Close(fd))
	}
	p := &poller{fd: fd, timer: timer}
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, timer, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: timerID}); err != nil {
		return nil, errors.Join(fmt.Errorf("watch the timer: %w", err), p.close())
	}
	return p, nil
}

func (p *poller) close() error { return errors.Join(unix.Close(p.timer), unix.Close(p.fd)) }

// wake makes wait return once, after d.
func (p *poller) wake(d time.Duration) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(d), 1))}
	return unix.TimerfdSettime(p.timer, 0, &spec, nil)
}

// wait calls ready with the id of each connection that is readable (in), is writable (out) or has
// ended (end). A connection that has ended is not reported again, so ready must read all remaining
// data.
func (p *poller) wait(timeout time.Duration, ready func(id int, in, end, out bool)) error {
	n, err := unix.EpollWait(p.fd, p.events[:], int(timeout/time.Millisecond))
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("wait for sockets: %w", err)
	}
	for i := range n {
		e := &p.events[i]
		if e.Fd == timerID {
			var expirations [8]byte
			_, _ = unix.Read(p.timer, expirations[:]) // only to clear the timer
			continue
		}
		ready(int(e.Fd), e.Events&readable != 0, e.Events&ended != 0, e.Events&writable != 0)
	}
	return nil
}

// add watches fd under id.
func (p *poller) add(fd, id int, out bool) error { return p.control(unix.EPOLL_CTL_ADD, fd, id, out) }

// change sets whether wait also reports that fd is writable.
func (p *poller) change(fd, id int, out bool) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, id, out)
}

func (p *poller) control(op, fd, id int, out bool) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(id)}
	if out {
		e.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(p.fd, op, fd, &e)
}

// connect creates a socket and starts connecting it without blocking. When the socket becomes
// writable, the attempt has finished.
func connect(to [4]byte, port int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		// Reset connections on close, so that a run does not leave thousands of ports in TIME_WAIT.
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
	)
	if err == nil {
		if err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: to}); errors.Is(err, unix.EINPROGRESS) {
			err = nil
		}
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("connect: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// connected returns the result of connecting.
func connected(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = syscall.Errno(code)
	}
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

// receive reads available data from a socket into b without blocking. Package socket explains why
// it uses a raw system call.
func receive(fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		syscall.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

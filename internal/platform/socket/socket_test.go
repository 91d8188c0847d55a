package socket_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"parley.chat/internal/platform/socket"
)

func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

// All data written on one side is read on the other, whether or not the socket buffer has room for
// it.
func TestSocket_carries(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	done := make(chan error, 1)
	go func() {
		w := socket.NewWriter(near)
		for rest := sent; len(rest) > 0; {
			piece := rest[:min(len(rest), 300_001)]
			if n, err := w.Write(piece); err != nil || n != len(piece) {
				done <- errors.Join(err, io.ErrShortWrite)
				return
			}
			rest = rest[len(piece):]
		}
		done <- near.Close()
	}()
	got, err := io.ReadAll(socket.NewReader(far))
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes, %v", len(got), len(sent), err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Writing to a full socket writes nothing, and is not an error.
func TestTryWrite_neverWaits(t *testing.T) {
	t.Parallel()
	for name, try := range map[string]func(net.Conn) func([]byte) (int, error){
		"writer": func(c net.Conn) func([]byte) (int, error) { w := socket.NewWriter(c); return w.TryWrite },
		"sender": func(c net.Conn) func([]byte) (int, error) { return socket.NewSender(c).TryWrite },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, _ := pair(t)
			write, b := try(near), make([]byte, 1<<20)
			for {
				n, err := write(b)
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					return
				}
			}
		})
	}
}

// A Sender reports that the peer has closed the connection. If the connection is not a socket, it
// writes nothing.
func TestSender_end(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	s := socket.NewSender(near)
	if n, err := s.TryWrite([]byte("hello")); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if err := far.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	_, _ = near.Read(make([]byte, 1)) // until the reset has arrived
	var gone *net.OpError
	if _, err := s.TryWrite([]byte("hello")); !errors.As(err, &gone) {
		t.Errorf("write to a closed peer: %v", err)
	}
	pipe, _ := net.Pipe()
	if n, err := socket.NewSender(pipe).TryWrite([]byte("x")); n != 0 || err != nil {
		t.Errorf("%d, %v: a pipe accepts nothing without blocking", n, err)
	}
}

func TestSocket_ends(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	r := socket.NewReader(near)
	if err := near.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("past the deadline: %v", err)
	}
	if err := near.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = far.Write([]byte("x")); _ = far.Close() }()
	if n, err := r.Read(make([]byte, 10)); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	_ = near.Close()
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read of a closed socket: %v", err)
	}
	w := socket.NewWriter(near)
	if _, err := w.TryWrite([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write to a closed socket: %v", err)
	}
}

// A connection that is not a socket can be read and written, too.
func TestSocket_pipe(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	w := socket.NewWriter(near)
	if n, err := w.TryWrite([]byte("x")); n != 0 || err != nil {
		t.Errorf("%d, %v: a pipe accepts nothing without blocking", n, err)
	}
	go func() { _, _ = w.Write([]byte("hello")); _ = near.Close() }()
	if got, err := io.ReadAll(socket.NewReader(far)); string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAllocations(t *testing.T) {
	near, far := pair(t)
	w, r, b := socket.NewWriter(near), socket.NewReader(far), make([]byte, 10)
	if got := testing.AllocsPerRun(100, func() {
		_, _ = w.TryWrite(b)
		_, _ = r.Read(b)
	}); got != 0 {
		t.Errorf("%v allocations for a write and a read", got)
	}
}

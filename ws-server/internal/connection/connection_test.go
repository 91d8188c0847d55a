package connection

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The fields that every frame needs must fit into one cache line.
func TestConn_sendingFieldsShareACacheLine(t *testing.T) {
	var c Conn
	if end := unsafe.Offsetof(c.queue) + unsafe.Sizeof(c.queue); end > 64 {
		t.Errorf("the fields take %d bytes, want at most 64", end)
	}
}

// pair returns a Conn on a TCP socket, and the socket's other end.
func pair(t *testing.T) (*Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return begin(t, server, client), client.(*net.TCPConn)
}

// pipe returns a Conn and its other end, which accepts data only when it is read. A socket accepts
// an amount that varies.
func pipe(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	return begin(t, near, far), far
}

func begin(t *testing.T, near, far net.Conn) *Conn {
	t.Helper()
	owner := &Owner{OnSlow: func() {}}
	c := new(Conn)
	c.Begin(near, owner)
	t.Cleanup(func() {
		c.Abort()
		_ = far.Close()
		owner.Wait()
	})
	return c
}

// readFrame reads one unmasked frame and returns its opcode and payload.
func readFrame(t *testing.T, r *bufio.Reader) (op byte, payload []byte) {
	t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	n := int(head[1])
	if extended := map[int]int{126: 2, 127: 8}[n]; extended > 0 {
		size := make([]byte, extended)
		if _, err := io.ReadFull(r, size); err != nil {
			t.Fatal(err)
		}
		n = 0
		for _, b := range size {
			n = n<<8 | int(b)
		}
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		t.Fatal(err)
	}
	return head[0] & 0xf, payload
}

// fill sends frames until one is queued, and returns how many it sent.
func fill(t *testing.T, c *Conn, text []byte) (sent int) {
	t.Helper()
	for {
		c.mu.Lock()
		queued := len(c.queue) > 0 || c.writing
		c.mu.Unlock()
		if queued {
			return sent
		}
		c.Send(Text(text), 1)
		sent++
	}
}

// A connection must keep working after its socket was full once: the write deadline of the writer
// goroutine must not apply to later writes.
func TestConn_worksAfterTheSocketWasFull(t *testing.T) {
	old := writeTimeout
	writeTimeout = 300 * time.Millisecond
	t.Cleanup(func() { writeTimeout = old })
	c, client := pair(t)
	sent := fill(t, c, bytes.Repeat([]byte("x"), 64<<10))
	r := bufio.NewReader(client)
	for range sent {
		readFrame(t, r)
	}
	drainedAt := time.Now()
	testkit.Until(t, testkit.Timeout, func() error {
		if time.Since(drainedAt) < 2*writeTimeout {
			return io.ErrNoProgress
		}
		return nil
	})
	c.Send(Text([]byte("later")), 1)
	if op, payload := readFrame(t, r); op != opText || string(payload) != "later" {
		t.Errorf("got %d %q", op, payload)
	}
	if c.Closing() {
		t.Error("the connection was closed")
	}
}

func TestSlowConsumer_getsWholeFramesThenTheCloseFrame(t *testing.T) {
	c, client := pair(t)
	text := bytes.Repeat([]byte("x"), 64<<10)
	fill(t, c, text)
	for !c.Closing() {
		c.Send(Text(text), 1)
	}
	c.Send(Text([]byte("after the end")), 1)
	r := bufio.NewReader(client)
	for {
		op, payload := readFrame(t, r)
		if op == opClose {
			if code := int(payload[0])<<8 | int(payload[1]); code != CloseSlowConsumer {
				t.Errorf("closed with %d", code)
			}
			return
		}
		if !bytes.Equal(payload, text) {
			t.Fatalf("a frame of %d bytes", len(payload))
		}
	}
}

// The writer must also drop chunks that it has taken from the queue but not begun to write.
func TestSlowConsumer_writerDropsChunksItHasNotBegun(t *testing.T) {
	c, far := pipe(t)
	c.Send(Text([]byte("0")), 1)
	awaitTaken(t, c)
	for _, s := range []string{"1", "2", "3"} {
		c.Send(Text([]byte(s)), 1)
	}
	_ = far.SetReadDeadline(time.Now().Add(testkit.Timeout))
	r := bufio.NewReaderSize(far, 16)
	if _, got := readFrame(t, r); string(got) != "0" {
		t.Fatalf("got %q", got)
	}
	awaitTaken(t, c) // and has begun to write the first chunk
	c.Close(CloseSlowConsumer, "")
	if _, got := readFrame(t, r); string(got) != "1" {
		t.Errorf("got %q, want the frame that was begun", got)
	}
	if op, got := readFrame(t, r); op != opClose {
		t.Errorf("got %q after it, want the close frame", got)
	}
}

// awaitTaken waits until the writer has taken everything from the queue.
func awaitTaken(t *testing.T, c *Conn) {
	t.Helper()
	testkit.Until(t, testkit.Timeout, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.queue) > 0 || !c.writing {
			return io.ErrNoProgress
		}
		return nil
	})
}

func TestSendEphemeral_isDroppedWhenHalfFull(t *testing.T) {
	c, client := pipe(t)
	c.Send(Text([]byte("the writer waits for the reader")), 1)
	awaitTaken(t, c)
	for range 10 {
		c.Send(Text(bytes.Repeat([]byte("y"), 64<<10)), 1)
	}
	c.SendEphemeral(Text([]byte("typing")))
	c.Ping()
	c.Send(Text([]byte("end")), 1)
	r := bufio.NewReader(client)
	pinged := false
	for {
		op, payload := readFrame(t, r)
		pinged = pinged || op == opPing
		if string(payload) == "typing" {
			t.Fatal("an ephemeral frame was queued though the queue is more than half full")
		}
		if string(payload) == "end" {
			break
		}
	}
	if !pinged {
		t.Error("the ping was dropped")
	}
}

func TestText_headers(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 200000} {
		payload := bytes.Repeat([]byte("z"), n)
		op, got := readFrame(t, bufio.NewReader(bytes.NewReader(Text(payload))))
		if op != opText || !bytes.Equal(got, payload) {
			t.Errorf("%d bytes: opcode %d, %d bytes", n, op, len(got))
		}
	}
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("z"), n)
		if got := EndText(append(BeginText(10), payload...)); !bytes.Equal(got, Text(payload)) {
			t.Errorf("%d bytes built in place: %.20q", n, got)
		}
	}
	if _, got := readFrame(t, bufio.NewReader(bytes.NewReader(Text([]byte("a"), []byte("b"))))); string(got) != "a\nb" {
		t.Errorf("joined: %q", got)
	}
}

// A connection writes to a file descriptor, whose number may soon be reused for another socket. So
// after anything, including gorilla, has closed the socket, the connection must not write to it.
func TestGate_nothingIsWrittenAfterClose(t *testing.T) {
	c, _ := pair(t)
	gate := NewGate(c.net)
	gate.Open(c)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	others := make([]net.Conn, 20) // waiting to be accepted; accept then returns the lowest free number
	for i := range others {
		if others[i], err = net.Dial("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer others[i].Close()
	}
	number := descriptor(t, c.net)
	if err := gate.Close(); err != nil {
		t.Fatal(err)
	}
	var near, far net.Conn
	for _, far = range others {
		if near, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		defer near.Close()
		if descriptor(t, near) == number {
			break
		}
	}
	if descriptor(t, near) != number {
		t.Fatalf("no socket got the descriptor %d again", number)
	}
	c.Send(Text([]byte("stray")), 1)
	c.SendEphemeral(Text([]byte("stray")))
	c.Ping()
	c.Close(CloseGoingAway, "stray")
	_, _ = near.Write([]byte("its own"))
	_ = near.Close()
	if got, err := io.ReadAll(far); string(got) != "its own" || err != nil {
		t.Errorf("the socket with the reused descriptor carries %q, %v", got, err)
	}
}

func descriptor(t *testing.T, c net.Conn) (number uintptr) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { number = fd })
	}
	if err != nil {
		t.Fatal(err)
	}
	return number
}

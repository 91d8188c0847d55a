// Package swarm runs thousands of WebSocket clients on one thread.
//
// Everything runs in the goroutine that calls Run. When epoll reports a socket, the loop reads it
// into one shared buffer, parses the frames in place, and counts the events immediately. A
// connection needs a few hundred bytes and no goroutine, so the generator leaves most of the
// machine's capacity to the programs under test. A timer in the same loop schedules the sends.
package swarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"parley.chat/loadtest/internal/stats"
	"parley.chat/loadtest/internal/wire"
)

type state uint8

const (
	closed state = iota
	connecting
	upgrading
	open
)

// Conn is one client.
type Conn struct {
	ID      int
	Channel int   // its meaning is defined by the scenario
	Next    int64 // seq of the next expected event; 0 if any seq is accepted
	Got     int64 // events received since it was dialed
	Greeted bool  // hello has arrived
	Live    int64 // time of the last subscription; the latency of earlier messages is not counted

	// Positions holds the positions of a client that is in several channels; see Loop.Index.
	Positions []Position

	request []byte
	rest    []byte // beginning of an incomplete frame
	out     []byte // data that has not been written to the socket yet
	fd      int
	state   state
}

// Position is a client's position in one of several channels.
type Position struct {
	Channel int   // index, as in Loop.Index
	Next    int64 // seq of the next expected event
}

// Open reports whether the WebSocket is open.
func (c *Conn) Open() bool { return c.state == open }

// Tally counts the events and faults of all clients since the last Reset.
type Tally struct {
	Deliveries int64 // events, counted once per connection
	Frames     int64 // WebSocket messages
	Bytes      int64
	Holes      int64 // skipped seqs
	Repeats    int64 // repeated seqs
	Acks       int64
	Errors     int64 // error frames, broken streams, failed connections
	FirstError string
	Closes     map[int]int // by close code; 0 means no code
	Latency    stats.Histogram
	AckLatency stats.Histogram
}

// Loop runs the clients. It is not safe for concurrent use.
type Loop struct {
	Conns []*Conn
	Tally Tally

	// Index maps channel ids to channel indexes. If it is set, each client may be in several
	// channels: Conn.Positions is used instead of Conn.Next and Conn.Got.
	Index map[wire.ChannelID]int

	// Callbacks of the scenario. They may send frames. now is a time as returned by Now.
	OnOpen  func(c *Conn)
	OnAck   func(c *Conn, now int64)
	OnEvent func(c *Conn) // called after a frame's events have been counted

	poll   *poller
	base   time.Time
	addr   [4]byte
	port   int
	buf    []byte
	cache  wire.Cache
	pace   pace
	opened int   // number of open connections
	since  int64 // when the tally began
	err    error
}

// pace is a series of sends at fixed intervals.
type pace struct {
	next, every int64
	left        int
	send        func(i int, due int64)
	i           int
}

// New returns a loop without connections.
func New() (*Loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &Loop{poll: p, base: time.Now(), buf: make([]byte, 512<<10)}
	l.Reset()
	return l, nil
}

// Aim sets the address of the server for later calls to Dial.
func (l *Loop) Aim(addr string) error {
	a, err := netip.ParseAddrPort(addr)
	if err != nil || !a.Addr().Is4() {
		return fmt.Errorf("aim at %q: not an IPv4 address with a port", addr)
	}
	l.addr, l.port = a.Addr().As4(), int(a.Port())
	return nil
}

// Close closes every connection and the loop.
func (l *Loop) Close() error {
	for _, c := range l.Conns {
		l.Drop(c)
	}
	return l.poll.close()
}

// Reset starts a new tally. Messages that were sent before Reset but arrive later are counted, but
// their latency is not recorded, because the caller may have delayed the loop.
func (l *Loop) Reset() { l.Tally, l.since = Tally{Closes: map[int]int{}}, l.Now() }

// Now returns the time in nanoseconds since 1970, advanced by the monotonic clock. It has 19
// decimal digits.
func (l *Loop) Now() int64 { return l.base.UnixNano() + int64(time.Since(l.base)) }

// Add creates a client that sends the given upgrade request when it is dialed. It does not dial.
func (l *Loop) Add(channel int, request []byte) *Conn {
	c := &Conn{ID: len(l.Conns), Channel: channel, request: request, fd: -1}
	l.Conns = append(l.Conns, c)
	return c
}

// Ask replaces the upgrade request that c sends when it is next dialed.
func (c *Conn) Ask(request []byte) { c.request = request }

// Dial starts to connect c and does not wait. If c is already connected, Dial closes it first.
func (l *Loop) Dial(c *Conn) error {
	l.Drop(c)
	fd, err := connect(l.addr, l.port)
	if err != nil {
		return err
	}
	c.fd, c.state, c.Greeted, c.Got, c.rest, c.out = fd, connecting, false, 0, nil, nil
	if err := l.poll.add(fd, c.ID, true); err != nil {
		return fmt.Errorf("watch a socket: %w", err)
	}
	return nil
}

// Opened returns the number of open connections.
func (l *Loop) Opened() int { return l.opened }

// Drop closes c immediately, without a close frame. The tally does not count this close.
func (l *Loop) Drop(c *Conn) {
	if c.state == closed {
		return
	}
	if c.state == open {
		l.opened--
	}
	_ = syscall.Close(c.fd) // closing discards unsent data anyway
	c.state, c.fd, c.rest, c.out = closed, -1, nil, nil
}

// DialAll opens the connections, at most atOnce at a time, and waits until all are ready. If
// greeted is true, a connection is ready when its hello has arrived; otherwise, when it is open.
func (l *Loop) DialAll(ctx context.Context, conns []*Conn, atOnce int, greeted bool, timeout time.Duration) error {
	faults := l.Tally.Errors
	ready := func(c *Conn) bool { return c.state == open && (c.Greeted || !greeted) }
	next, waiting := 0, []*Conn(nil)
	var dialErr error
	err := l.Run(ctx, timeout, func() bool {
		still := waiting[:0]
		for _, c := range waiting {
			if !ready(c) {
				still = append(still, c)
			}
		}
		waiting = still
		for ; next < len(conns) && len(waiting) < atOnce && dialErr == nil; next++ {
			dialErr = l.Dial(conns[next])
			waiting = append(waiting, conns[next])
		}
		return dialErr != nil || l.Tally.Errors > faults || next == len(conns) && len(waiting) == 0
	})
	switch {
	case err != nil:
		return err
	case dialErr != nil:
		return dialErr
	case l.Tally.Errors > faults:
		return fmt.Errorf("open %d connections: %s", len(conns), l.Tally.FirstError)
	case next < len(conns) || len(waiting) > 0:
		return fmt.Errorf("open %d connections: %d are not ready after %v", len(conns), len(conns)-next+len(waiting), timeout)
	}
	return nil
}

// Pace schedules n sends at a fixed rate, starting now. It does not wait for the server's
// responses. It calls send with the index of the send and the time at which it was due. It replaces
// any previous schedule.
func (l *Loop) Pace(n int, every time.Duration, send func(i int, due int64)) {
	l.pace = pace{next: l.Now() + int64(every), every: int64(every), left: n, send: send}
	l.arm()
}

// Unsent returns the number of scheduled sends that have not been performed yet.
func (l *Loop) Unsent() int { return l.pace.left }

func (l *Loop) arm() {
	if l.pace.left > 0 {
		l.fail(l.poll.wake(time.Duration(l.pace.next - l.Now())))
	}
}

// sendDue performs the sends that are due.
func (l *Loop) sendDue(now int64) {
	p := &l.pace
	if p.left == 0 || now < p.next {
		return
	}
	for p.left > 0 && now >= p.next {
		due := p.next
		p.next += p.every
		p.left--
		p.send(p.i, due)
		p.i++
	}
	l.arm()
}

// fail records the first error of the loop itself. Run returns this error.
func (l *Loop) fail(err error) {
	if err != nil && l.err == nil {
		l.err = err
	}
}

// Run handles incoming data until done returns true or maxDuration has passed. It returns an error
// if ctx is canceled.
func (l *Loop) Run(ctx context.Context, maxDuration time.Duration, done func() bool) error {
	end := l.Now() + int64(maxDuration)
	for l.err == nil {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("load interrupted: %w", err)
		}
		if done() {
			return nil
		}
		left := end - l.Now()
		if left <= 0 {
			return nil
		}
		if err := l.poll.wait(min(time.Duration(left)+time.Millisecond, 50*time.Millisecond), l.ready); err != nil {
			return err
		}
		l.sendDue(l.Now())
	}
	return l.err
}

// ready handles the events that the poller reported for one connection.
func (l *Loop) ready(id int, in, end, out bool) {
	c := l.Conns[id]
	if c.state == connecting && (out || in) {
		if err := connected(c.fd); err != nil {
			l.lost(c, 0, err)
			return
		}
		c.state = upgrading
		l.fail(l.poll.change(c.fd, id, false))
		l.Write(c, c.request)
		return
	}
	if out && c.state != closed {
		l.flush(c)
	}
	for more := in; more && c.state != closed; {
		more = l.read(c, end)
	}
}

// lost records that a connection was closed by the server or has failed.
func (l *Loop) lost(c *Conn, code int, err error) {
	l.Drop(c)
	l.Tally.Closes[code]++
	if err != nil {
		l.fault(fmt.Sprintf("connection %d: %v", c.ID, err))
	}
}

func (l *Loop) fault(text string) {
	l.Tally.Errors++
	if l.Tally.FirstError == "" {
		l.Tally.FirstError = text
	}
}

// Write writes b to the socket. It queues the data that the socket does not accept immediately.
func (l *Loop) Write(c *Conn, b []byte) {
	if c.state == closed {
		return
	}
	if len(c.out) == 0 {
		n, err := syscall.Write(c.fd, b)
		switch {
		case err == nil && n == len(b):
			return
		case err == nil:
			b = b[n:]
		case !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR):
			l.lost(c, 0, err)
			return
		}
		l.fail(l.poll.change(c.fd, c.ID, true))
	}
	c.out = append(c.out, b...)
}

func (l *Loop) flush(c *Conn) {
	b := c.out
	c.out = nil
	if len(b) > 0 {
		l.Write(c, b)
	}
	if len(c.out) == 0 && c.state != closed {
		l.fail(l.poll.change(c.fd, c.ID, false))
	}
}

// read reads available data from the socket. It reports whether there may be more data that the
// poller will not report again. This is possible if the read filled the buffer, or if the
// connection has ended (end).
func (l *Loop) read(c *Conn, end bool) (more bool) {
	had := copy(l.buf, c.rest)
	if had == len(l.buf) {
		l.lost(c, 0, errors.New("a frame is larger than the buffer"))
		return false
	}
	n, err := receive(c.fd, l.buf[had:])
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) {
		return errors.Is(err, syscall.EINTR)
	}
	if err != nil || n == 0 {
		l.lost(c, 0, errors.Join(err, errIf(c.state == upgrading, "closed before the upgrade")))
		return false
	}
	now := l.Now()
	l.Tally.Bytes += int64(n)
	b := l.buf[:had+n]
	if c.state == upgrading {
		if b = l.upgraded(c, b); b == nil {
			return c.state != closed && (end || had+n == len(l.buf))
		}
	}
	if b = l.frames(c, b, now); c.state == closed {
		return false
	}
	if len(b) > 0 {
		c.rest = append(c.rest[:0], b...)
	} else if cap(c.rest) > 4<<10 {
		c.rest = nil
	} else {
		c.rest = c.rest[:0]
	}
	l.sendDue(now)
	return end || had+n == len(l.buf)
}

func errIf(cond bool, text string) error {
	if cond {
		return errors.New(text)
	}
	return nil
}

// upgraded returns b without the response to the upgrade request. It returns nil if the response is
// incomplete or the server refused the upgrade.
func (l *Loop) upgraded(c *Conn, b []byte) []byte {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	switch {
	case end < 0:
		c.rest = append(c.rest[:0], b...)
		return nil
	case !bytes.HasPrefix(b, []byte("HTTP/1.1 101 ")):
		line, _, _ := bytes.Cut(b, []byte("\r\n"))
		l.lost(c, 0, fmt.Errorf("upgrade refused: %s", line))
		return nil
	}
	c.state = open
	l.opened++
	if l.OnOpen != nil {
		l.OnOpen(c)
	}
	return b[end+4:]
}

// frames handles the complete frames at the start of b and returns the remaining bytes.
func (l *Loop) frames(c *Conn, b []byte, now int64) []byte {
	for c.state == open {
		f, size, err := wire.Parse(b)
		if err != nil {
			l.lost(c, 0, err)
			return nil
		}
		if size == 0 {
			return b
		}
		b = b[size:]
		switch f.Op {
		case wire.Text:
			if !f.Fin {
				l.lost(c, 0, errors.New("a fragmented message"))
				return nil
			}
			l.Tally.Frames++
			l.text(c, f.Payload, now)
		case wire.Ping:
			l.Write(c, wire.AppendFrame(nil, wire.Pong, f.Payload))
		case wire.Close:
			l.lost(c, wire.CloseCode(f.Payload), nil)
		}
	}
	return nil
}

// text counts one WebSocket message.
func (l *Loop) text(c *Conn, payload []byte, now int64) {
	if l.Index == nil && wire.KindOf(payload) == wire.Message {
		if run := l.cache.Run(payload); run.Whole {
			l.events(c, run.First, run.Stamps, now)
			return
		}
	}
	var stamp [1]int64
	for len(payload) > 0 {
		var object []byte
		object, payload = wire.Next(payload)
		switch wire.KindOf(object) {
		case wire.Message:
			if stamp[0] = wire.Stamp(object); l.Index != nil {
				l.eventInChannel(c, object, stamp[0], now)
				continue
			}
			l.events(c, wire.Seq(object), stamp[:], now)
		case wire.Ack:
			l.Tally.Acks++
			if ref := wire.Ref(object); ref > l.since {
				l.Tally.AckLatency.Add(now - ref)
			}
			if l.OnAck != nil {
				l.OnAck(c, now)
			}
		case wire.Hello:
			c.Greeted = true
		case wire.Subscribed:
			c.Live = now
		case wire.Error:
			l.fault(string(object))
		}
	}
}

// events counts a sequence of events.
func (l *Loop) events(c *Conn, first int64, stamps []int64, now int64) {
	t := &l.Tally
	switch {
	case c.Next == 0 || first == c.Next:
	case first > c.Next:
		t.Holes += first - c.Next
	default:
		again := min(c.Next-first, int64(len(stamps)))
		t.Repeats += again
		stamps, first = stamps[again:], c.Next
	}
	c.Next = first + int64(len(stamps))
	c.Got += int64(len(stamps))
	t.Deliveries += int64(len(stamps))
	for _, s := range stamps {
		if s > l.since { // sent during this tally
			t.Latency.Add(now - s)
		}
	}
	if l.OnEvent != nil {
		l.OnEvent(c)
	}
}

// eventInChannel counts an event that was received by a client in several channels.
func (l *Loop) eventInChannel(c *Conn, object []byte, stamp, now int64) {
	id, _ := wire.Channel(object)
	channel, known := l.Index[id]
	at := slices.IndexFunc(c.Positions, func(p Position) bool { return p.Channel == channel })
	if !known || at < 0 {
		l.fault(fmt.Sprintf("connection %d is not in channel %s", c.ID, id[:]))
		return
	}
	p, t, seq := &c.Positions[at], &l.Tally, wire.Seq(object)
	if seq < p.Next {
		t.Repeats++
		return
	}
	t.Holes += seq - p.Next
	p.Next = seq + 1
	t.Deliveries++
	if stamp > max(c.Live, l.since) {
		t.Latency.Add(now - stamp)
	}
}

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/socket"
	"parley.chat/shared-contracts/rediskey"
)

// Connections are a process's ways to the log: one connection to a single server, one per partition on
// a Cluster, where a connection is bound to a node. Appends and subscriptions share them, so what an
// append publishes comes back to its own process together with its reply, in one read.
type Connections struct {
	log   *Log
	links []*link
}

// Connect returns the connections to the log. They are made in Run.
func (l *Log) Connect(log *slog.Logger) *Connections {
	n := 1
	if _, cluster := l.rdb.(*redis.ClusterClient); cluster {
		n = l.partitions
	}
	return newConnections(l, l.rdb, n, log)
}

func newConnections(l *Log, rdb redis.UniversalClient, n int, log *slog.Logger) *Connections {
	c := &Connections{log: l}
	for p := range n {
		c.links = append(c.links, newLink(rdb, p, log))
	}
	return c
}

// Run keeps the connections until ctx is done. What was not answered by then never is.
func (c *Connections) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, k := range c.links {
		all.Go(func() { k.run(ctx) })
	}
	all.Wait()
	return nil
}

const (
	linkPing    = 3 * time.Second // a connection that says nothing for this long is asked
	linkSilence = 8 * time.Second // and given up after this long
	dialTimeout = 3 * time.Second // for the dial and the handshake, each
)

// link is one connection to the server of some partitions, made again when it is lost. A lane appends
// over it, a Subscriber listens on it; either may be missing. go-redis tells where the server is and
// dials it. What it would do beyond that, a connection from a pool for each round trip and another for
// each subscription, costs more than the append itself.
type link struct {
	rdb           redis.UniversalClient
	partition     int // whose node it goes to
	log           *slog.Logger
	ping, silence time.Duration

	// Set before run.
	lane *lane
	sub  *Subscriber

	addr  string        // of the server; run's own, and its helpers'
	wake  chan struct{} // holds at most one token: the Subscriber has something to say
	heard atomic.Int64  // when something last came, in Unix nanoseconds
	live  atomic.Pointer[net.Conn]

	// wmu makes one write at a time. It is held across writes to the socket, so who must not wait for
	// Redis never takes it.
	wmu  sync.Mutex
	conn net.Conn // nil while there is none
	out  socket.Writer
	turn uint64 // counts connections, from 1: what was meant for an older one is not written
	buf  []byte // what is written next

	emu     sync.Mutex // never held across anything
	expects []expected // replies that are owed, in order
}

// expected says whose so many next replies are.
type expected struct {
	whose owner
	n     int
}

type owner byte

const (
	ofHandshake owner = iota
	ofPing
	ofLane
	ofSubscriber // its answers are pushes: a reply in its turn is an error
)

func newLink(rdb redis.UniversalClient, partition int, log *slog.Logger) *link {
	return &link{
		rdb: rdb, partition: partition, log: log.With("partition", partition),
		ping: linkPing, silence: linkSilence, wake: make(chan struct{}, 1),
	}
}

// poke tells that the Subscriber wants to say something.
func (k *link) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run keeps the connection until ctx is done.
func (k *link) run(ctx context.Context) {
	for attempt := 0; ; attempt++ {
		began := time.Now()
		served, err := k.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if served && time.Since(began) > time.Second { // a server that takes us and throws us out is not hammered
			attempt = 0
		}
		level := slog.LevelDebug
		if attempt == 0 {
			level = slog.LevelWarn
		}
		k.log.Log(ctx, level, "connection to the log lost, connecting again", "err", err)
		if c, ok := k.rdb.(*redis.ClusterClient); ok {
			c.ReloadState(ctx) // the partition may have moved
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff(attempt)):
		}
	}
}

// options tells where the partition's server is.
func (k *link) options(ctx context.Context) (*redis.Options, error) {
	switch c := k.rdb.(type) {
	case *redis.Client:
		return c.Options(), nil
	case *redis.ClusterClient:
		node, err := c.MasterForKey(ctx, rediskey.PartitionTopic(k.partition))
		if err != nil {
			return nil, fmt.Errorf("find the node of partition %d: %w", k.partition, err)
		}
		return node.Options(), nil
	}
	return nil, fmt.Errorf("connect to the log: unknown client %T", k.rdb)
}

// connect makes a connection and serves it until it fails or ctx is done. served reports whether the
// server has taken us.
func (k *link) connect(ctx context.Context) (served bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	opt, err := k.options(bounded)
	if err != nil {
		return false, err
	}
	conn, err := opt.Dialer(bounded, opt.Network, opt.Addr)
	if err != nil {
		return false, fmt.Errorf("dial: %w", err)
	}
	k.live.Store(&conn)
	k.addr = opt.Addr
	var helpers sync.WaitGroup
	helping, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		k.live.Store(nil)
		_ = conn.Close() // first: a write that is stuck holds wmu
		k.wmu.Lock()
		k.conn = nil
		k.wmu.Unlock()
		helpers.Wait()
		if k.lane != nil {
			k.lane.down()
		}
	}()
	helpers.Go(func() { // a blocked read does not see ctx: closing ends it
		<-helping.Done()
		_ = conn.Close()
	})
	if err := k.open(conn, opt); err != nil {
		return false, err
	}
	helpers.Go(func() {
		k.tend(helping)
		_ = conn.Close()
	})
	return k.serve(&reader{src: socket.NewReader(conn)}, conn)
}

// open begins a connection: the protocol, who we are, the script, and every topic that is wanted.
func (k *link) open(conn net.Conn, opt *redis.Options) error {
	k.heard.Store(time.Now().UnixNano())
	if err := conn.SetReadDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	k.wmu.Lock()
	defer k.wmu.Unlock()
	k.conn, k.out = conn, socket.NewWriter(conn)
	k.turn++
	hello := []string{"HELLO", "3"}
	if opt.Password != "" {
		user := opt.Username
		if user == "" {
			user = "default"
		}
		hello = append(hello, "AUTH", user, opt.Password)
	}
	b := appendCommand(k.buf[:0], append(hello, "SETNAME", "parley-log")...)
	replies := 1
	if opt.DB != 0 {
		b = appendCommand(b, "SELECT", strconv.Itoa(opt.DB))
		replies++
	}
	if k.lane != nil {
		b = appendCommand(b, "SCRIPT", "LOAD", appendSource)
		replies++
	}
	k.owe(true, ofHandshake, replies)
	if k.sub != nil {
		topics := k.sub.all()
		for _, topic := range topics { // a command each: a refusal is for one
			b = appendCommand(b, "SSUBSCRIBE", topic)
		}
		k.owe(false, ofSubscriber, len(topics))
	}
	k.buf = b
	return k.flushLocked()
}

// writeTimeout bounds how long a server may take nothing: it hangs, or the way there does.
const writeTimeout = 3 * time.Second

// flushLocked writes buf.
func (k *link) flushLocked() error {
	n, err := k.out.TryWrite(k.buf)
	if err == nil && n < len(k.buf) {
		if err = k.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err == nil {
			_, err = k.conn.Write(k.buf[n:])
		}
		if err == nil {
			err = k.conn.SetWriteDeadline(time.Time{})
		}
	}
	if cap(k.buf) > keepBuffer {
		k.buf = nil
	}
	if err != nil {
		_ = k.conn.Close()
	}
	return err
}

// write sends what encode appends, which says how many replies it has, if the connection is still that of
// the given turn, which it reports; 0 means any. A write that fails ends the connection, which is where its
// owner learns of it.
func (k *link) write(turn uint64, whose owner, encode func([]byte) (_ []byte, replies int)) (current bool) {
	k.wmu.Lock()
	defer k.wmu.Unlock()
	if k.conn == nil || turn != 0 && turn != k.turn {
		return false
	}
	var replies int
	if k.buf, replies = encode(k.buf[:0]); replies > 0 {
		k.owe(false, whose, replies)
		_ = k.flushLocked()
	}
	return true
}

// drop ends the connection, even while a write to it is stuck.
func (k *link) drop() {
	if c := k.live.Load(); c != nil {
		_ = (*c).Close()
	}
}

// owe notes replies that will come. Called with wmu held, before what they answer is written.
func (k *link) owe(first bool, whose owner, n int) {
	k.emu.Lock()
	defer k.emu.Unlock()
	if first {
		k.expects = k.expects[:0]
	}
	k.expects = append(k.expects, expected{whose, n})
}

// expect returns whose the next reply is.
func (k *link) expect() (owner, error) {
	k.emu.Lock()
	defer k.emu.Unlock()
	if len(k.expects) == 0 {
		return 0, errors.New("a reply to nothing that was asked")
	}
	whose := k.expects[0].whose
	k.countLocked(0)
	return whose, nil
}

// confirmed notes an answer to the Subscriber.
func (k *link) confirmed() {
	k.emu.Lock()
	defer k.emu.Unlock()
	for i, e := range k.expects {
		if e.whose == ofSubscriber {
			k.countLocked(i)
			return
		}
	}
}

func (k *link) countLocked(i int) {
	if k.expects[i].n--; k.expects[i].n == 0 {
		k.expects = slices.Delete(k.expects, i, i+1)
	}
}

// serve hands on what comes until the connection fails. What one read has brought is handed on as a
// whole: first the next batch is on its way, then come the acks, then the fan-out.
func (k *link) serve(r *reader, conn net.Conn) (served bool, err error) {
	for {
		for {
			v, ok, err := r.buffered()
			if err != nil {
				k.flush()
				return served, err
			}
			if !ok {
				break
			}
			if v.kind == kindPush {
				err = k.pushed(v.fields)
			} else {
				err = k.replied(v, conn, &served)
			}
			if err != nil {
				k.flush()
				return served, err
			}
		}
		k.flush()
		if err := r.fill(); err != nil {
			return served, fmt.Errorf("read: %w", err)
		}
		k.heard.Store(time.Now().UnixNano())
	}
}

// flush ends what one read has brought.
func (k *link) flush() {
	if k.lane != nil {
		k.lane.settle()
	}
	if k.sub != nil {
		k.sub.flush()
	}
	if k.lane != nil {
		k.lane.a.Flushed()
	}
}

func (k *link) pushed(fields [][]byte) error {
	if k.sub == nil || len(fields) < 3 {
		return nil
	}
	return k.sub.pushed(fields)
}

func (k *link) replied(v value, conn net.Conn, served *bool) error {
	whose, err := k.expect()
	if err != nil {
		return err
	}
	switch {
	case whose == ofLane:
		return k.lane.replied(v)
	case v.kind == kindError, whose == ofSubscriber:
		return fmt.Errorf("refused: %s", v.fields[0])
	case whose == ofHandshake:
		k.emu.Lock()
		more := len(k.expects) > 0 && k.expects[0].whose == ofHandshake
		k.emu.Unlock()
		if more {
			return nil
		}
		*served = true
		if err := conn.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		if k.lane != nil {
			k.wmu.Lock()
			turn := k.turn
			k.wmu.Unlock()
			k.lane.up(turn)
		}
	}
	return nil
}

// tend says what the Subscriber wants to say, pings a quiet connection, and returns when it has been
// silent for too long or ctx is done.
func (k *link) tend(ctx context.Context) {
	tick := time.NewTicker(k.ping)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
			if k.sub != nil {
				k.tell()
			}
			continue
		case <-tick.C:
		}
		quiet := time.Since(time.Unix(0, k.heard.Load()))
		if quiet > k.silence || k.moved(ctx) {
			return
		}
		if quiet > k.ping/2 && k.wmu.TryLock() { // who holds it is writing, and if that is stuck, waiting for it finds nothing out
			k.wmu.Unlock()
			k.write(0, ofPing, func(b []byte) ([]byte, int) { return appendCommand(b, "PING"), 1 })
		}
	}
}

// moved reports whether the partition's server is another one now. One that was cut off from the Cluster
// may go on answering us, and publish nothing any more.
func (k *link) moved(ctx context.Context) bool {
	if _, cluster := k.rdb.(*redis.ClusterClient); !cluster {
		return false
	}
	opt, err := k.options(ctx)
	return err == nil && opt.Addr != k.addr
}

func (k *link) tell() {
	k.write(0, ofSubscriber, func(b []byte) ([]byte, int) {
		join, leave := k.sub.changes()
		for _, t := range join {
			b = appendCommand(b, "SSUBSCRIBE", t)
		}
		for _, t := range leave {
			b = appendCommand(b, "SUNSUBSCRIBE", t)
		}
		return b, len(join) + len(leave)
	})
}

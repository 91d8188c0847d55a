package logconn

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

	"parley.chat/internal/platform/backoff"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/internal/platform/resp"
	"parley.chat/internal/platform/socket"
	"parley.chat/shared-contracts/rediskey"
)

const (
	pingInterval   = 3 * time.Second // a connection that is silent for this long is pinged
	silenceTimeout = 8 * time.Second // a connection that is silent for this long is closed
	dialTimeout    = 3 * time.Second // time limit for the dial, and separately for the handshake
)

// Conn maintains one connection to the server that holds some of the partitions. It reconnects
// after the connection is lost. A Lane appends over the connection and a Listener subscribes over
// it; either may be missing. go-redis supplies only the server's address and the dialer. Its
// connection pool would cost more than the append itself, because every round trip takes a
// connection from the pool, and every subscription needs one of its own.
type Conn struct {
	rdb           redis.UniversalClient
	partition     int // partition whose node it connects to
	log           *slog.Logger
	ping, silence time.Duration

	// Set before run is called.
	lane   Lane
	script string // source of the script that lane runs; loaded when the connection opens
	sub    Listener

	addr     string        // server address; used only by run and its helper goroutines
	wake     chan struct{} // capacity 1; signaled when the Listener has topics to add or remove
	lastRead atomic.Int64  // time of the last read, in Unix nanoseconds
	live     atomic.Pointer[net.Conn]

	// wmu serializes writes. It is held during socket writes, so code that must not wait for Redis
	// never locks it.
	wmu  sync.Mutex
	conn net.Conn // nil while there is no connection
	out  socket.Writer
	gen  uint64 // generation of the connection, from 1; a write meant for an older one is dropped
	buf  []byte // bytes of the next write

	emu     sync.Mutex // never held during any other operation
	expects []expected // outstanding replies, in order
}

// expected represents n consecutive outstanding replies to commands of one owner: the handshake, a
// ping, the Lane or the Listener.
type expected struct {
	whose owner
	n     int
}

type owner byte

const (
	ofHandshake owner = iota
	ofPing
	ofLane
	ofListener // subscription commands; Redis answers them with pushes, so a regular reply is an error
)

func newConn(rdb redis.UniversalClient, partition int, log *slog.Logger) *Conn {
	return &Conn{
		rdb: rdb, partition: partition, log: log.With("partition", partition),
		ping: pingInterval, silence: silenceTimeout, wake: make(chan struct{}, 1),
	}
}

// SetLane sets the Lane that appends over the connection, and the source of the script that the
// Lane calls. It must be called before run.
func (k *Conn) SetLane(l Lane, script string) { k.lane, k.script = l, script }

// SetListener sets the Listener that subscribes over the connection. It must be called before run.
func (k *Conn) SetListener(l Listener) { k.sub = l }

// TopicsChanged signals that the Listener has topics to add or remove. It does not block.
func (k *Conn) TopicsChanged() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run maintains the connection until ctx is done.
func (k *Conn) run(ctx context.Context) {
	for attempt := 0; ; attempt++ {
		began := time.Now()
		served, err := k.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		// Do not reset the backoff if the server accepted the connection but closed it soon
		// afterwards.
		if served && time.Since(began) > time.Second {
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
		case <-time.After(RetryDelay(attempt)):
		}
	}
}

// RetryDelay returns the delay before the next attempt to reach Redis. The delays are long enough
// to avoid a flood of connection attempts while a server is down. They are short enough to find a
// new master quickly after a failover.
func RetryDelay(failures int) time.Duration {
	return backoff.Delay(failures, 5*time.Millisecond, 200*time.Millisecond)
}

// connect opens a connection and serves it until it fails or ctx is done. served reports whether
// the server accepted the handshake.
func (k *Conn) connect(ctx context.Context) (served bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, opt, err := redisclient.Dial(bounded, k.rdb, rediskey.PartitionTopic(k.partition))
	if err != nil {
		return false, err
	}
	k.live.Store(&conn)
	k.addr = opt.Addr
	var helpers sync.WaitGroup
	helping, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		k.live.Store(nil)
		_ = conn.Close() // close before locking wmu, because a blocked write holds wmu
		k.wmu.Lock()
		k.conn = nil
		k.wmu.Unlock()
		helpers.Wait()
		if k.lane != nil {
			k.lane.Down()
		}
	}()
	helpers.Go(func() { // reads ignore ctx, so they end only when the connection is closed
		<-helping.Done()
		_ = conn.Close()
	})
	if err := k.open(conn, opt); err != nil {
		return false, err
	}
	helpers.Go(func() {
		k.maintain(helping)
		_ = conn.Close()
	})
	return k.serve(resp.NewReader(socket.NewReader(conn)), conn)
}

// open starts a connection: it selects the protocol, authenticates, loads the script and subscribes
// to every wanted topic.
func (k *Conn) open(conn net.Conn, opt *redis.Options) error {
	k.lastRead.Store(time.Now().UnixNano())
	if err := conn.SetReadDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	k.wmu.Lock()
	defer k.wmu.Unlock()
	k.conn, k.out = conn, socket.NewWriter(conn)
	k.gen++
	hello := []string{"HELLO", "3"}
	if opt.Password != "" {
		user := opt.Username
		if user == "" {
			user = "default"
		}
		hello = append(hello, "AUTH", user, opt.Password)
	}
	b := resp.AppendCommand(k.buf[:0], append(hello, "SETNAME", "parley-log")...)
	replies := 1
	if opt.DB != 0 {
		b = resp.AppendCommand(b, "SELECT", strconv.Itoa(opt.DB))
		replies++
	}
	if k.lane != nil {
		b = resp.AppendCommand(b, "SCRIPT", "LOAD", k.script)
		replies++
	}
	k.expectReplies(true, ofHandshake, replies)
	if k.sub != nil {
		topics := k.sub.Topics()
		for _, topic := range topics { // one command per topic, so that a refusal affects only that topic
			b = resp.AppendCommand(b, "SSUBSCRIBE", topic)
		}
		k.expectReplies(false, ofListener, len(topics))
	}
	k.buf = b
	return k.flushLocked()
}

// writeTimeout limits how long one write may take. If it expires, the server or the network has
// stopped responding.
const writeTimeout = 3 * time.Second

// flushLocked writes buf to the socket.
func (k *Conn) flushLocked() error {
	n, err := k.out.TryWrite(k.buf)
	if err == nil && n < len(k.buf) {
		if err = k.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err == nil {
			_, err = k.conn.Write(k.buf[n:])
		}
		if err == nil {
			err = k.conn.SetWriteDeadline(time.Time{})
		}
	}
	if cap(k.buf) > resp.MaxIdleBuffer {
		k.buf = nil
	}
	if err != nil {
		_ = k.conn.Close()
	}
	return err
}

// Send sends the script calls that encode appends; encode returns the number of replies to expect.
// Send does nothing and returns false if the connection is no longer generation gen. If the write
// fails, the connection is closed and the Lane's Down is called.
func (k *Conn) Send(gen uint64, encode func([]byte) (_ []byte, replies int)) (current bool) {
	return k.write(gen, ofLane, encode)
}

// write sends the commands that encode appends; encode returns the number of replies to expect. It
// sends nothing and returns false if the connection is no longer generation gen (0 matches any).
func (k *Conn) write(gen uint64, whose owner, encode func([]byte) (_ []byte, replies int)) (current bool) {
	k.wmu.Lock()
	defer k.wmu.Unlock()
	if k.conn == nil || gen != 0 && gen != k.gen {
		return false
	}
	var replies int
	if k.buf, replies = encode(k.buf[:0]); replies > 0 {
		k.expectReplies(false, whose, replies)
		_ = k.flushLocked()
	}
	return true
}

// Drop closes the connection, even while a write to it is blocked.
func (k *Conn) Drop() {
	if c := k.live.Load(); c != nil {
		_ = (*c).Close()
	}
}

// expectReplies records that n replies will arrive. It is called with wmu held, before the commands
// are written.
func (k *Conn) expectReplies(first bool, whose owner, n int) {
	k.emu.Lock()
	defer k.emu.Unlock()
	if first {
		k.expects = k.expects[:0]
	}
	k.expects = append(k.expects, expected{whose, n})
}

// nextOwner consumes the next expected reply. It returns the owner of the command that the reply
// answers: the handshake, a ping, the Lane or the Listener.
func (k *Conn) nextOwner() (owner, error) {
	k.emu.Lock()
	defer k.emu.Unlock()
	if len(k.expects) == 0 {
		return 0, errors.New("an unexpected reply")
	}
	whose := k.expects[0].whose
	k.consumeLocked(0)
	return whose, nil
}

// subscriptionAnswered records an answer to one of the Listener's commands.
func (k *Conn) subscriptionAnswered() {
	k.emu.Lock()
	defer k.emu.Unlock()
	for i, e := range k.expects {
		if e.whose == ofListener {
			k.consumeLocked(i)
			return
		}
	}
}

func (k *Conn) consumeLocked(i int) {
	if k.expects[i].n--; k.expects[i].n == 0 {
		k.expects = slices.Delete(k.expects, i, i+1)
	}
}

// serve handles incoming values until the connection fails. It handles all values from one read
// together: first the next batch is sent, then acks are reported, then the fan-out runs.
func (k *Conn) serve(r *resp.Reader, conn net.Conn) (served bool, err error) {
	for {
		for {
			v, ok, err := r.Buffered()
			if err != nil {
				k.flush()
				return served, err
			}
			if !ok {
				break
			}
			if v.Kind == resp.KindPush {
				err = k.pushed(v.Fields)
			} else {
				err = k.replied(v, conn, &served)
			}
			if err != nil {
				k.flush()
				return served, err
			}
		}
		k.flush()
		if err := r.Fill(); err != nil {
			return served, fmt.Errorf("read: %w", err)
		}
		k.lastRead.Store(time.Now().UnixNano())
	}
}

// flush makes the Lane and the Listener finish handling the values from one read.
func (k *Conn) flush() {
	if k.lane != nil {
		k.lane.Settle()
	}
	if k.sub != nil {
		k.sub.Flush()
	}
	if k.lane != nil {
		k.lane.Flushed()
	}
}

func (k *Conn) pushed(fields [][]byte) error {
	if k.sub == nil || len(fields) < 3 {
		return nil
	}
	answered, err := k.sub.Pushed(fields)
	if answered {
		k.subscriptionAnswered()
	}
	return err
}

func (k *Conn) replied(v resp.Value, conn net.Conn, served *bool) error {
	whose, err := k.nextOwner()
	if err != nil {
		return err
	}
	switch {
	case whose == ofLane:
		return k.lane.Replied(v)
	case v.Kind == resp.KindError, whose == ofListener:
		return fmt.Errorf("refused: %s", v.Fields[0])
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
			gen := k.gen
			k.wmu.Unlock()
			k.lane.Up(gen)
		}
	}
	return nil
}

// maintain sends the Listener's topic changes and pings a quiet connection. It returns when the
// connection has been silent for too long, when the partition has moved to another server, or when
// ctx is done.
func (k *Conn) maintain(ctx context.Context) {
	tick := time.NewTicker(k.ping)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
			if k.sub != nil {
				k.sendSubscriptions()
			}
			continue
		case <-tick.C:
		}
		quiet := time.Since(time.Unix(0, k.lastRead.Load()))
		if quiet > k.silence || k.serverChanged(ctx) {
			return
		}
		// If the lock is held, a write is in progress. If that write is blocked, waiting for the
		// lock here would prevent the timeout from being detected.
		if quiet > k.ping/2 && k.wmu.TryLock() {
			k.wmu.Unlock()
			k.write(0, ofPing, func(b []byte) ([]byte, int) { return resp.AppendCommand(b, "PING"), 1 })
		}
	}
}

// serverChanged reports whether the partition is now on another server. A server that was cut off
// from the cluster may still answer, but no longer publishes anything.
func (k *Conn) serverChanged(ctx context.Context) bool {
	if _, cluster := k.rdb.(*redis.ClusterClient); !cluster {
		return false
	}
	opt, err := redisclient.ServerOf(ctx, k.rdb, rediskey.PartitionTopic(k.partition))
	return err == nil && opt.Addr != k.addr
}

func (k *Conn) sendSubscriptions() {
	k.write(0, ofListener, func(b []byte) ([]byte, int) {
		join, leave := k.sub.Changes()
		for _, t := range join {
			b = resp.AppendCommand(b, "SSUBSCRIBE", t)
		}
		for _, t := range leave {
			b = resp.AppendCommand(b, "SUNSUBSCRIBE", t)
		}
		return b, len(join) + len(leave)
	})
}

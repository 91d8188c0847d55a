// Package intake reads the entries of a stream through the consumer group at little cost: one connection
// per stream, and each entry is handed on as it comes. go-redis makes a map and some twenty strings of an
// entry, and holds a whole reply at once: that was half of what storing an event cost sync-service.
//
// The package starts no goroutines and never asks twice: after an error a reply may be lost, and with it
// entries that only the pending list still knows.
package intake

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
)

// Entry is one entry of a stream.
type Entry struct {
	ID string
	// Pairs are a name, its value, the next name. The slice is void when the next entry comes, its
	// strings are not. It is nil for an entry that is pending and no longer in the stream.
	Pairs []string
}

// Stream reads one stream. It is used by one goroutine at a time.
type Stream struct {
	rdb      redis.UniversalClient // which tells where the server is, and dials it
	key      string
	consumer string

	conn  net.Conn // nil while there is none
	in    *bufio.Reader
	out   []byte
	mem   []byte // one entry's fields
	ends  []int  // of the fields in mem
	pairs []string
}

// Open returns a reader of the stream called key, in the name of the consumer. It connects when it is
// first used.
func Open(rdb redis.UniversalClient, key, consumer string) *Stream {
	return &Stream{rdb: rdb, key: key, consumer: consumer}
}

const (
	bufferSize  = 32 << 10
	dialTimeout = 3 * time.Second // for the dial and the handshake, each
	readTimeout = 3 * time.Second // of Redis, beyond the block that it was asked for
	keepMemory  = 256 << 10       // one entry's; more is let go of
	maxField    = 512 << 20       // Redis' own limit
)

// ReplyError is an error that Redis has answered.
type ReplyError string

func (e ReplyError) Error() string { return string(e) }

// RedisError makes it one for redis.HasErrorPrefix.
func (ReplyError) RedisError() {}

// Read reads at most count entries after from, ">" being what nobody has, and calls take with each. A
// block below 0 does not wait for any. It returns how many there were; with an error, those had been taken
// before it. ctx is looked at before the read, which a block bounds.
func (s *Stream) Read(ctx context.Context, from string, count int, block time.Duration, take func(Entry)) (n int, err error) {
	if err := s.connect(ctx); err != nil {
		return 0, err
	}
	defer func() {
		if err != nil && !redis.HasErrorPrefix(err, "NOGROUP") {
			s.Close()
			if c, ok := s.rdb.(*redis.ClusterClient); ok {
				c.ReloadState(ctx) // the partition may have moved
			}
		}
	}()
	words := []string{"XREADGROUP", "GROUP", rediskey.ConsumerGroup, s.consumer, "COUNT", strconv.Itoa(count)}
	wait := readTimeout
	if block >= 0 {
		words = append(words, "BLOCK", strconv.FormatInt(block.Milliseconds(), 10))
		wait += block
	}
	if err := s.send(wait, append(words, "STREAMS", s.key, from)...); err != nil {
		return 0, err
	}
	return s.reply(take)
}

// Close ends the connection. The next Read makes another.
func (s *Stream) Close() {
	if s.conn != nil {
		_ = s.conn.Close() // what was not read is pending
		s.conn = nil
	}
}

// connect makes a connection where there is none.
func (s *Stream) connect(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	opt, err := s.options(bounded)
	if err != nil {
		return err
	}
	conn, err := opt.Dialer(bounded, opt.Network, opt.Addr)
	if err != nil {
		return fmt.Errorf("connect to Redis: %w", err)
	}
	s.conn = conn
	if s.in == nil {
		s.in = bufio.NewReaderSize(conn, bufferSize)
	} else {
		s.in.Reset(conn)
	}
	if err := s.greet(opt); err != nil {
		s.Close()
		return fmt.Errorf("greet Redis: %w", err)
	}
	return nil
}

// options tells where the stream's server is.
func (s *Stream) options(ctx context.Context) (*redis.Options, error) {
	switch c := s.rdb.(type) {
	case *redis.Client:
		return c.Options(), nil
	case *redis.ClusterClient:
		node, err := c.MasterForKey(ctx, s.key)
		if err != nil {
			return nil, fmt.Errorf("find the node of %s: %w", s.key, err)
		}
		return node.Options(), nil
	}
	return nil, fmt.Errorf("connect to Redis: unknown client %T", s.rdb)
}

// greet says who we are. The protocol stays RESP2, in which a reply is arrays and strings alone.
func (s *Stream) greet(opt *redis.Options) error {
	commands := [][]string{{"CLIENT", "SETNAME", "parley-sync"}}
	if opt.DB != 0 {
		commands = append([][]string{{"SELECT", strconv.Itoa(opt.DB)}}, commands...)
	}
	if opt.Password != "" {
		auth := []string{"AUTH", opt.Password}
		if opt.Username != "" {
			auth = []string{"AUTH", opt.Username, opt.Password}
		}
		commands = append([][]string{auth}, commands...)
	}
	for _, words := range commands {
		if err := s.send(dialTimeout, words...); err != nil {
			return err
		}
		if _, _, err := s.line(); err != nil {
			return err
		}
	}
	return nil
}

// send writes a command, and gives its whole reply the time to come.
func (s *Stream) send(wait time.Duration, words ...string) error {
	b := append(strconv.AppendInt(append(s.out[:0], '*'), int64(len(words)), 10), '\r', '\n')
	for _, w := range words {
		b = append(strconv.AppendInt(append(b, '$'), int64(len(w)), 10), '\r', '\n')
		b = append(append(b, w...), '\r', '\n')
	}
	s.out = b
	if err := s.conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	return err
}

// reply reads that of XREADGROUP: per stream its name and its entries, null when there is nothing.
func (s *Stream) reply(take func(Entry)) (n int, err error) {
	streams, err := s.array()
	if err != nil || streams < 0 {
		return 0, err
	}
	for range streams {
		if err := s.want(2); err != nil {
			return n, err
		}
		s.mem = s.mem[:0]
		if err := s.bulk(); err != nil {
			return n, err
		}
		entries, err := s.array()
		if err != nil {
			return n, err
		}
		for range entries {
			e, err := s.entry()
			if err != nil {
				return n, err
			}
			take(e)
			n++
		}
	}
	return n, nil
}

// entry reads an id and its fields.
func (s *Stream) entry() (Entry, error) {
	if err := s.want(2); err != nil {
		return Entry{}, err
	}
	s.mem, s.ends, s.pairs = s.mem[:0], s.ends[:0], s.pairs[:0]
	if err := s.bulk(); err != nil {
		return Entry{}, err
	}
	e := Entry{ID: string(s.mem)}
	fields, err := s.array()
	if err != nil || fields < 0 {
		return e, err
	}
	s.mem = s.mem[:0]
	for range fields {
		if err := s.bulk(); err != nil {
			return Entry{}, err
		}
		s.ends = append(s.ends, len(s.mem))
	}
	all, begin := string(s.mem), 0 // one string for all of them
	for _, end := range s.ends {
		s.pairs = append(s.pairs, all[begin:end])
		begin = end
	}
	if cap(s.mem) > keepMemory {
		s.mem = nil
	}
	e.Pairs = s.pairs
	return e, nil
}

var errProtocol = errors.New("not what Redis answers to a read")

// line reads a line: what it begins with, and the number in it.
func (s *Stream) line() (kind byte, n int, err error) {
	b, err := s.in.ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return 0, 0, err
	}
	if len(b) < 3 || b[len(b)-2] != '\r' {
		return 0, 0, fmt.Errorf("%w: %.40q", errProtocol, b)
	}
	text := b[1 : len(b)-2]
	switch b[0] {
	case '-':
		return 0, 0, ReplyError(text)
	case '+':
		return '+', 0, nil
	}
	if n, err = strconv.Atoi(string(text)); err != nil || n < -1 || n > maxField {
		return 0, 0, fmt.Errorf("%w: %.40q", errProtocol, b)
	}
	return b[0], n, nil
}

// array reads the head of an array: its length, -1 for null.
func (s *Stream) array() (int, error) {
	kind, n, err := s.line()
	if err == nil && kind != '*' {
		err = fmt.Errorf("%w: %q in place of an array", errProtocol, kind)
	}
	return n, err
}

// want reads the head of an array of n.
func (s *Stream) want(n int) error {
	got, err := s.array()
	if err == nil && got != n {
		err = fmt.Errorf("%w: an array of %d in place of %d", errProtocol, got, n)
	}
	return err
}

// bulk appends a string to mem.
func (s *Stream) bulk() error {
	kind, n, err := s.line()
	if err != nil {
		return err
	}
	if kind != '$' || n < 0 {
		return fmt.Errorf("%w: %q in place of a string", errProtocol, kind)
	}
	for left := n; left > 0; {
		// As much as is there: what a broken length promises is not made room for.
		b, err := s.in.Peek(min(left, max(1, s.in.Buffered())))
		if err != nil {
			return err
		}
		s.mem = append(s.mem, b...)
		left -= len(b)
		_, _ = s.in.Discard(len(b)) // it is there
	}
	var end [2]byte
	if _, err := io.ReadFull(s.in, end[:]); err != nil {
		return err
	}
	if end != [2]byte{'\r', '\n'} {
		return fmt.Errorf("%w: a string longer than it says", errProtocol)
	}
	return nil
}

// Package streamreader reads the entries of a stream through the consumer group at low cost. It
// uses one connection per stream and passes on each entry as it arrives. By contrast, go-redis
// builds a map and about twenty strings per entry and holds a whole reply in memory. This overhead
// was half of sync-service's cost of storing an event.
//
// The package starts no goroutines and never retries. After an error, a reply may have been lost.
// Its entries are then only in the consumer's pending list.
package streamreader

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

	"parley.chat/internal/platform/redisclient"
	"parley.chat/internal/platform/resp"
	"parley.chat/shared-contracts/rediskey"
)

// Entry is one entry of a stream.
type Entry struct {
	ID string
	// Pairs contains alternating field names and values. The slice is valid only until the next
	// entry is read; its strings stay valid. Pairs is nil if the entry is pending but no longer in
	// the stream.
	Pairs []string
}

// Reader reads one stream. Only one goroutine may use it at a time.
type Reader struct {
	rdb      redis.UniversalClient // finds the server and provides its dialer
	key      string
	consumer string

	conn  net.Conn // nil if not connected
	in    *bufio.Reader
	out   []byte
	mem   []byte // the fields of the current entry
	ends  []int  // where each field in mem ends
	pairs []string
}

// New returns a reader for the stream with the given key, using the given consumer name. It
// connects on first use.
func New(rdb redis.UniversalClient, key, consumer string) *Reader {
	return &Reader{rdb: rdb, key: key, consumer: consumer}
}

const (
	bufferSize    = 32 << 10
	dialTimeout   = 3 * time.Second // limits the dial, and each handshake command
	readTimeout   = 3 * time.Second // limits the wait for a reply, in addition to the time that the command may block
	maxKeptBuffer = 256 << 10       // a larger entry buffer is not reused
	maxField      = 512 << 20       // the limit in Redis
)

// ReplyError is an error reply from Redis.
type ReplyError string

func (e ReplyError) Error() string { return string(e) }

// RedisError marks ReplyError as a Redis error for redis.HasErrorPrefix.
func (ReplyError) RedisError() {}

// Read reads at most count entries after from (">" for entries never delivered to the group) and
// calls handle for each of them. If block is negative, it does not wait for entries. It returns the
// number of entries; after an error, handle has already been called for that many entries.
// Canceling ctx does not interrupt a command that has been sent, so block bounds how long Read may
// wait for entries.
func (s *Reader) Read(ctx context.Context, from string, count int, block time.Duration, handle func(Entry)) (n int, err error) {
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
	args := []string{"XREADGROUP", "GROUP", rediskey.ConsumerGroup, s.consumer, "COUNT", strconv.Itoa(count)}
	wait := readTimeout
	if block >= 0 {
		args = append(args, "BLOCK", strconv.FormatInt(block.Milliseconds(), 10))
		wait += block
	}
	if err := s.send(wait, append(args, "STREAMS", s.key, from)...); err != nil {
		return 0, err
	}
	return s.reply(handle)
}

// Close closes the connection. The next Read opens a new one.
func (s *Reader) Close() {
	if s.conn != nil {
		_ = s.conn.Close() // entries that were not read stay pending
		s.conn = nil
	}
}

// connect opens a connection if there is none.
func (s *Reader) connect(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, opt, err := redisclient.Dial(bounded, s.rdb, s.key)
	if err != nil {
		return err
	}
	s.conn = conn
	if s.in == nil {
		s.in = bufio.NewReaderSize(conn, bufferSize)
	} else {
		s.in.Reset(conn)
	}
	if err := s.handshake(opt); err != nil {
		s.Close()
		return fmt.Errorf("handshake with Redis: %w", err)
	}
	return nil
}

// handshake authenticates, selects the database and names the connection. The connection uses
// RESP2, in which a reply consists only of arrays and strings.
func (s *Reader) handshake(opt *redis.Options) error {
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
	for _, args := range commands {
		if err := s.send(dialTimeout, args...); err != nil {
			return err
		}
		if _, _, err := s.header(); err != nil {
			return err
		}
	}
	return nil
}

// send writes a command. wait limits the time to write the command and to read its whole reply.
func (s *Reader) send(wait time.Duration, args ...string) error {
	b := resp.AppendCommand(s.out[:0], args...)
	s.out = b
	if err := s.conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	return err
}

// reply reads the reply to XREADGROUP, calls handle for each entry, and returns the number of
// entries. The reply is null or an array that contains the name and the entries of each stream.
func (s *Reader) reply(handle func(Entry)) (n int, err error) {
	streams, err := s.array()
	if err != nil || streams < 0 {
		return 0, err
	}
	for range streams {
		if err := s.expectArray(2); err != nil {
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
			handle(e)
			n++
		}
	}
	return n, nil
}

// entry reads the id and the fields of one entry.
func (s *Reader) entry() (Entry, error) {
	if err := s.expectArray(2); err != nil {
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
	all, begin := string(s.mem), 0 // one allocation for all fields
	for _, end := range s.ends {
		s.pairs = append(s.pairs, all[begin:end])
		begin = end
	}
	if cap(s.mem) > maxKeptBuffer {
		s.mem = nil
	}
	e.Pairs = s.pairs
	return e, nil
}

var errProtocol = errors.New("unexpected reply to XREADGROUP")

// header reads the first line of a RESP value. It returns the type byte and, except for simple
// strings, the length.
func (s *Reader) header() (kind byte, n int, err error) {
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

// array reads the header of an array and returns its length, or -1 for null.
func (s *Reader) array() (int, error) {
	kind, n, err := s.header()
	if err == nil && kind != '*' {
		err = fmt.Errorf("%w: %q instead of an array", errProtocol, kind)
	}
	return n, err
}

// expectArray reads the header of an array, which must have length n.
func (s *Reader) expectArray(n int) error {
	got, err := s.array()
	if err == nil && got != n {
		err = fmt.Errorf("%w: an array of length %d instead of %d", errProtocol, got, n)
	}
	return err
}

// bulk reads a bulk string and appends it to mem.
func (s *Reader) bulk() error {
	kind, n, err := s.header()
	if err != nil {
		return err
	}
	if kind != '$' || n < 0 {
		return fmt.Errorf("%w: %q instead of a string", errProtocol, kind)
	}
	for left := n; left > 0; {
		// Read only bytes that are already buffered, so that a corrupt length does not cause a
		// large allocation.
		b, err := s.in.Peek(min(left, max(1, s.in.Buffered())))
		if err != nil {
			return err
		}
		s.mem = append(s.mem, b...)
		left -= len(b)
		_, _ = s.in.Discard(len(b)) // cannot fail: the bytes are buffered
	}
	var end [2]byte
	if _, err := io.ReadFull(s.in, end[:]); err != nil {
		return err
	}
	if end != [2]byte{'\r', '\n'} {
		return fmt.Errorf("%w: a string is longer than its declared length", errProtocol)
	}
	return nil
}

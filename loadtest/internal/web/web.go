// Package web runs HTTP/1.1 clients of a REST API, each with its own persistent connection.
//
// Requests are encoded in advance. To verify a response, a client checks only its status, length
// and number of items, and compares it with the first response to the same request. This leaves
// most of the machine's capacity to the programs under test. A client sends its next request when
// it has received the response to the previous one.
package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"parley.chat/loadtest/internal/stats"
)

// Request is an encoded request and the properties of its expected response.
type Request struct {
	Bytes []byte
	Mark  []byte // byte sequence that occurs once per item in a response
	Items int    // number of items
}

// Tally counts what the clients have seen.
type Tally struct {
	Requests   int64 // requests with a correct response
	Bytes      int64 // size of the bodies
	Errors     int64
	FirstError string
	Latency    stats.Histogram
}

// Clients is a set of clients of one server. Run must not be called concurrently.
type Clients struct {
	addr     string
	requests []Request
	seen     []atomic.Uint64 // digest of the first response to each request, or 0 before it arrives
	seed     maphash.Seed
	clients  []*client
}

// client is one connection.
type client struct {
	all  *Clients
	next int // index of the next request
	conn net.Conn
	buf  []byte // data read so far
	body []byte // decoded body of a chunked response
}

// answerTimeout limits how long a response may take.
const answerTimeout = 10 * time.Second

// New returns n clients of the server at addr. Each client cycles through the requests, starting
// with a different request.
func New(addr string, n int, requests []Request) *Clients {
	c := &Clients{addr: addr, requests: requests, seen: make([]atomic.Uint64, len(requests)), seed: maphash.MakeSeed()}
	for i := range n {
		c.clients = append(c.clients, &client{all: c, next: i * len(requests) / n, buf: make([]byte, 0, 256<<10)})
	}
	return c
}

// Run makes all clients send requests for the given duration and returns the sum of their tallies.
// A client stops at its first error.
func (c *Clients) Run(ctx context.Context, duration time.Duration) (*Tally, error) {
	tallies := make([]Tally, len(c.clients))
	end := time.Now().Add(duration)
	var running sync.WaitGroup
	for i, one := range c.clients {
		running.Go(func() { one.run(ctx, end, &tallies[i]) })
	}
	running.Wait()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("load interrupted: %w", err)
	}
	sum := &tallies[0]
	for i := range tallies[1:] {
		t := &tallies[i+1]
		sum.Requests, sum.Bytes, sum.Errors = sum.Requests+t.Requests, sum.Bytes+t.Bytes, sum.Errors+t.Errors
		if sum.FirstError == "" {
			sum.FirstError = t.FirstError
		}
		sum.Latency.Merge(&t.Latency)
	}
	return sum, nil
}

// Close closes the connections.
func (c *Clients) Close() error {
	var errs []error
	for _, one := range c.clients {
		if one.conn != nil {
			errs = append(errs, one.conn.Close())
			one.conn = nil
		}
	}
	return errors.Join(errs...)
}

func (c *client) run(ctx context.Context, end time.Time, t *Tally) {
	for now := time.Now(); now.Before(end) && ctx.Err() == nil; {
		n, err := c.ask(ctx, c.next)
		if err != nil {
			t.Errors++
			t.FirstError = err.Error()
			return
		}
		done := time.Now()
		t.Latency.Add(int64(done.Sub(now)))
		t.Requests++
		t.Bytes += int64(n)
		c.next = (c.next + 1) % len(c.all.requests)
		now = done
	}
}

// ask sends a request, checks its response, and returns the length of the body.
func (c *client) ask(ctx context.Context, i int) (int, error) {
	if c.conn == nil {
		var err error
		if c.conn, err = (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, "tcp", c.all.addr); err != nil {
			return 0, err
		}
	}
	if err := c.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, fmt.Errorf("set the deadline of a request: %w", err)
	}
	request := &c.all.requests[i]
	if _, err := c.conn.Write(request.Bytes); err != nil {
		return 0, fmt.Errorf("send a request: %w", err)
	}
	body, err := c.answer()
	if err != nil {
		return 0, fmt.Errorf("request %d: %w", i, err)
	}
	if n := bytes.Count(body, request.Mark); n != request.Items {
		return 0, fmt.Errorf("request %d: the answer has %d items, want %d: %.200s", i, n, request.Items, body)
	}
	digest := maphash.Bytes(c.all.seed, body) | 1
	if !c.all.seen[i].CompareAndSwap(0, digest) && c.all.seen[i].Load() != digest {
		return 0, fmt.Errorf("request %d: the answer differs from the first one", i)
	}
	return len(body), nil
}

var (
	headEnd = []byte("\r\n\r\n")
	lineEnd = []byte("\r\n")
	success = []byte("HTTP/1.1 200 ")
	length  = []byte("\r\nContent-Length: ")
	chunked = []byte("\r\nTransfer-Encoding: chunked\r\n")
)

// answer reads one response and returns its body, which is valid until the next call.
func (c *client) answer() ([]byte, error) {
	c.buf = c.buf[:0]
	end, err := c.until(0, headEnd)
	if err != nil {
		return nil, err
	}
	head := c.buf[:end]
	if !bytes.HasPrefix(head, success) {
		return nil, fmt.Errorf("answered %.200s", c.buf)
	}
	if bytes.Contains(head, chunked) {
		return c.chunks(end)
	}
	_, rest, ok := bytes.Cut(head, length)
	digits, _, _ := bytes.Cut(rest, lineEnd)
	n, err := strconv.Atoi(string(digits))
	if !ok || err != nil || n < 0 {
		return nil, fmt.Errorf("the length of an answer is unknown: %.200s", head)
	}
	if err := c.have(end + n); err != nil {
		return nil, err
	}
	if len(c.buf) > end+n {
		return nil, errors.New("an answer is longer than its Content-Length")
	}
	return c.buf[end:], nil
}

// chunks reads a chunked body that begins at offset at in buf.
func (c *client) chunks(at int) ([]byte, error) {
	c.body = c.body[:0]
	for {
		end, err := c.until(at, lineEnd)
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(string(c.buf[at:end-len(lineEnd)]), 16, 31)
		if err != nil {
			return nil, fmt.Errorf("the length of a chunk is unknown: %w", err)
		}
		at = end + int(n) + len(lineEnd)
		if err := c.have(at); err != nil {
			return nil, err
		}
		if n == 0 {
			return c.body, nil
		}
		c.body = append(c.body, c.buf[end:end+int(n)]...)
	}
}

// until reads until buf contains `what` at or after offset from. It returns the offset of the byte
// after `what`.
func (c *client) until(from int, what []byte) (int, error) {
	for {
		if i := bytes.Index(c.buf[from:], what); i >= 0 {
			return from + i + len(what), nil
		}
		if err := c.have(len(c.buf) + 1); err != nil {
			return 0, err
		}
	}
}

// have reads until buf contains at least n bytes.
func (c *client) have(n int) error {
	for len(c.buf) < n {
		if n > cap(c.buf) {
			return fmt.Errorf("an answer is larger than %d bytes", cap(c.buf))
		}
		got, err := c.conn.Read(c.buf[len(c.buf):cap(c.buf)])
		if err != nil {
			return fmt.Errorf("read an answer: %w", err)
		}
		c.buf = c.buf[:len(c.buf)+got]
	}
	return nil
}

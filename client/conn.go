package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

const (
	responseTimeout = 20 * time.Second       // limits the upgrade, hello and each write
	maxRead         = 32 << 20               // maximum size of a frame from the server, in bytes
	receiptInterval = 200 * time.Millisecond // minimum interval between two receipt frames
	maxControl      = 4096
	// closeReasonTimeout is the time that the writer waits, after a failed write, for the reader to
	// receive the server's close reason.
	closeReasonTimeout = 2 * time.Second
)

// conn is a connection to a gateway. Client.mu guards all fields except ws, wake, work and run.
type conn struct {
	ws    *websocket.Conn
	run   context.Context // context of Run; events may still be delivered to the caller after the connection has ended
	token Token
	wake  chan struct{} // wakes the writer; capacity 1
	work  chan struct{} // wakes the fetcher; capacity 1

	greeted       bool                    // written only by the reader
	again         bool                    // not the client's first connection
	beat          time.Duration           // the server's ping interval; only the reader uses it
	control       [][]byte                // frames to send before anything else
	jobs          []func(context.Context) // for the fetch goroutine; they may make REST requests
	presence      map[string]chan frame.PresenceNotice
	lastRef       int
	moved         map[chat.ChannelID]bool // channels with receipts to send
	receiptsAfter time.Time               // earliest time of the next receipt frame
}

// connect gets a token, opens a connection and serves it until it ends. It returns the token that
// it used, whether the server sent hello, and the error that ended the connection. When it returns,
// all of the connection's goroutines have ended.
func (c *Client) connect(ctx context.Context, address, rejected string) (used string, greeted bool, err error) {
	token, err := c.cfg.Tokens.Token(ctx, rejected)
	if err != nil {
		return "", false, err
	}
	ws, err := c.dial(ctx, address, token.Access)
	if err != nil {
		return token.Access, false, err
	}
	l := &conn{
		ws: ws, run: ctx, token: token, wake: make(chan struct{}, 1), work: make(chan struct{}, 1),
		presence: make(map[string]chan frame.PresenceNotice), moved: make(map[chat.ChannelID]bool),
	}
	alive, end := context.WithCancelCause(ctx)
	defer end(nil)
	var wg sync.WaitGroup
	wg.Go(func() { end(c.read(l)) })
	wg.Go(func() { end(c.write(alive, l)) })
	wg.Go(func() { c.fetch(alive, l) })
	wg.Go(func() { c.renew(alive, l) })
	<-alive.Done()
	if ctx.Err() != nil {
		_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	}
	_ = ws.Close()
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = nil
	c.outbox.disconnected()
	for ref, answer := range l.presence {
		delete(l.presence, ref)
		close(answer)
	}
	return l.token.Access, l.greeted, context.Cause(alive)
}

func (c *Client) dial(ctx context.Context, address, token string) (*websocket.Conn, error) {
	d := *c.cfg.Dialer
	d.Subprotocols = []string{frame.Subprotocol}
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	ctx, cancel := context.WithTimeout(ctx, responseTimeout)
	defer cancel()
	ws, resp, err := d.DialContext(ctx, address+separator+"subscribe=none", http.Header{"Authorization": {"Bearer " + token}}) //nolint:bodyclose // gorilla/websocket documents that it need not be closed
	if err == nil {
		ws.SetReadLimit(maxRead)
		return ws, nil
	}
	if resp == nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // on a read error, Detail is incomplete
	e := &DialError{URL: address, Status: resp.StatusCode, Detail: strings.TrimSpace(string(b))}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.after = time.Duration(s) * time.Second
	}
	return nil, e
}

// read handles frames until the connection ends. It blocks while the caller does not receive
// events.
func (c *Client) read(l *conn) error {
	readTimeout := responseTimeout
	// An error means that the connection is broken; the next read returns it as well.
	extend := func() { _ = l.ws.SetReadDeadline(time.Now().Add(readTimeout)) }
	l.ws.SetPingHandler(func(data string) error {
		extend()
		// If the connection is broken, the next read returns the error.
		_ = l.ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(responseTimeout))
		return nil
	})
	for {
		extend()
		_, data, err := l.ws.ReadMessage()
		if err != nil {
			return closed(err)
		}
		for line := range bytes.Lines(data) {
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			news, err := c.handle(l, line)
			c.deliver(l.run, news...)
			if err != nil {
				return err
			}
		}
		if l.beat > 0 {
			readTimeout = 2*l.beat + responseTimeout
		}
	}
}

// write sends pending frames until the connection ends.
func (c *Client) write(ctx context.Context, l *conn) error {
	for {
		data, news, wait := c.next(l)
		c.deliver(l.run, news...)
		if data != nil {
			// An error means that the connection is broken; the write below returns it as well.
			_ = l.ws.SetWriteDeadline(time.Now().Add(responseTimeout))
			if err := l.ws.WriteMessage(websocket.TextMessage, data); err != nil {
				sleep(ctx, closeReasonTimeout)
				return err
			}
			continue
		}
		var due <-chan time.Time
		if wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-l.wake:
		case <-due:
		case <-ctx.Done():
			return nil
		}
	}
}

// next returns the next frame to send. If there is none, it returns the duration after which to try
// again, or 0 to wait for a wake-up. It also returns events for the caller.
func (c *Client) next(l *conn) (data []byte, news []Event, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !l.greeted {
		return nil, nil, 0
	}
	if len(l.control) > 0 {
		data = l.control[0]
		l.control = l.control[1:]
		return data, nil, 0
	}
	now := c.cfg.now()
	if len(l.moved) > 0 {
		if wait = l.receiptsAfter.Sub(now); wait <= 0 {
			l.receiptsAfter = now.Add(receiptInterval)
			if data = c.receiptsLocked(l); len(data) > 0 {
				return data, nil, 0
			}
		}
	}
	news = c.expireLocked(l, now)
	it, later := c.outbox.next(now, c.limits, func(it *item) bool { return !it.expired(now) })
	if it == nil {
		if later > 0 && (wait == 0 || later < wait) {
			wait = later
		}
		return nil, news, wait
	}
	c.outbox.sent(it, l, now, c.limits)
	return it.encode(), news, 0
}

// queueLocked queues a frame to be sent before the sends in the outbox. c.mu must be held.
func (l *conn) queueLocked(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("client: %v", err)) // ids, numbers and text can always be encoded
	}
	l.control = append(l.control, b)
	signal(l.wake)
}

// jobLocked queues a function that fetch will call in its own goroutine. c.mu must be held.
func (l *conn) jobLocked(job func(context.Context)) {
	l.jobs = append(l.jobs, job)
	signal(l.work)
}

func (l *conn) refLocked(kind string) string {
	l.lastRef++
	return kind + strconv.Itoa(l.lastRef)
}

// fetch runs queued jobs one after another, so that their REST requests do not block the reader.
func (c *Client) fetch(ctx context.Context, l *conn) {
	for {
		c.mu.Lock()
		var job func(context.Context)
		if len(l.jobs) > 0 {
			job, l.jobs = l.jobs[0], l.jobs[1:]
		}
		c.mu.Unlock()
		if job != nil {
			job(ctx)
			continue
		}
		select {
		case <-l.work:
		case <-ctx.Done():
			return
		}
	}
}

// renew sends a new token over the connection before the old one expires.
func (c *Client) renew(ctx context.Context, l *conn) {
	c.mu.Lock()
	token := l.token
	c.mu.Unlock()
	for failures := 0; ; {
		wait := renewIn(token, c.cfg.now())
		if wait == 0 {
			return
		}
		if failures > 0 {
			wait = c.cfg.jitter(maxWait(failures))
		}
		if !sleep(ctx, wait) {
			return
		}
		next, err := c.cfg.Tokens.Token(ctx, token.Access)
		if err != nil {
			failures++
			if judge(err).final {
				return // the server will close the connection with 4001; Run then returns err
			}
			continue
		}
		failures, token = 0, next
		c.mu.Lock()
		l.token = token
		l.queueLocked(map[string]any{"type": frame.Auth, "ref": l.refLocked("auth-"), "token": token.Access})
		c.mu.Unlock()
	}
}

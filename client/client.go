// Package client is Parley's Go SDK: a chat client that stays connected.
//
// A Client maintains one WebSocket. When the connection is lost for a reason that is not final, the
// client waits, connects to the next gateway, resumes every channel from its position, and repeats
// every unacknowledged send. It guarantees:
//
//   - Every event in a channel is delivered once, in order and without gaps, across any number of
//     connections. If that is impossible (the server has lost writes, or too many events were
//     missed), the caller gets a Reset event that describes the gap.
//   - Every send has exactly one result: it is acknowledged with its seq, or refused with a reason.
//     A message is never posted twice, even if frames or connections are lost.
//   - A slow caller slows down reading from the WebSocket. Nothing is dropped, and memory use stays
//     bounded.
//
// New does no I/O and starts nothing. Run owns every goroutine and returns when its context is
// done. The other methods may be called from any goroutine, before, during and after Run.
package client

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// Defaults for the fields of Config.
const (
	DefaultMaxPending = 1000
	DefaultMaxCatchUp = 10_000
	DefaultBuffer     = 256
)

// Config configures a Client. A zero optional field selects its default.
type Config struct {
	URL    string      // required: http(s)://host of the REST API
	Tokens TokenSource // the source of access tokens (required): a Session or the caller's own implementation

	// Sockets holds the gateways' addresses, ws(s)://host/ws. Connection attempts cycle through
	// them. Default: /ws at URL.
	Sockets []string
	// Positions holds the positions from which to resume, taken from the events of an earlier
	// Client. A channel without a position is followed from its newest event.
	Positions map[chat.ChannelID]Position

	MaxPending int // maximum number of sends waiting to be acknowledged; default 1,000
	// MaxCatchUp is the maximum number of missed events to fetch per channel. Each request fetches
	// up to 200. If more were missed, the caller gets a Reset. Default 10,000.
	MaxCatchUp int64
	Buffer     int               // number of events to buffer for a slow caller; default 256
	HTTP       *http.Client      // default: a client with a timeout
	Dialer     *websocket.Dialer // default: a dialer that has a timeout and uses the environment's proxy
	Logger     *slog.Logger      // default: none

	// jitter returns the random wait before a reconnect. The default uses math/rand; tests may
	// replace it.
	jitter func(time.Duration) time.Duration
	now    func() time.Time
}

// Position is the point up to which the caller has received a channel's events.
type Position struct {
	Seq   int64  `json:"seq"`
	Epoch string `json:"epoch"`
}

// Client is one user's connection to Parley.
type Client struct {
	cfg        Config
	api        *API
	log        *slog.Logger
	out        chan Event    // the channel that Events returns; only pump sends to it
	in         chan Event    // events that deliver passes to pump
	notesReady chan struct{} // capacity 1: notes is not empty

	// mu guards the fields below. No code blocks while it holds mu; events are delivered after mu
	// is released.
	mu       sync.Mutex
	started  bool
	me       chat.UserID
	limits   frame.Limits
	conn     *conn // the current connection; nil until it has received hello
	channels map[chat.ChannelID]*channel
	outbox   outbox
	notes    []Event // events from callers that must not block; Config.MaxPending bounds their number
	sent     tracker
}

// New returns a Client. It fails if cfg is invalid.
func New(cfg Config) (*Client, error) {
	if cfg.Tokens == nil {
		return nil, errors.New("client: Tokens is required")
	}
	api, err := NewAPI(cfg.URL, cfg.Tokens, cfg.HTTP)
	if err != nil {
		return nil, err
	}
	if len(cfg.Sockets) == 0 {
		cfg.Sockets = []string{"ws" + strings.TrimPrefix(api.base, "http") + "/ws"}
	}
	for _, s := range cfg.Sockets {
		if u, err := url.Parse(s); err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
			return nil, errors.New("client: Sockets contains a value that is not a URL like ws://localhost:8080/ws")
		}
	}
	if cfg.MaxPending <= 0 {
		cfg.MaxPending = DefaultMaxPending
	}
	if cfg.MaxCatchUp <= 0 {
		cfg.MaxCatchUp = DefaultMaxCatchUp
	}
	if cfg.Buffer <= 0 {
		cfg.Buffer = DefaultBuffer
	}
	if cfg.Dialer == nil {
		cfg.Dialer = &websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: responseTimeout}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.jitter == nil {
		cfg.jitter = upTo
	}
	if cfg.now == nil {
		cfg.now = time.Now
	}
	c := &Client{
		cfg: cfg, api: api, log: cfg.Logger,
		out: make(chan Event), in: make(chan Event, cfg.Buffer), notesReady: make(chan struct{}, 1),
		channels: make(map[chat.ChannelID]*channel),
	}
	for id, p := range cfg.Positions {
		c.channels[id] = &channel{id: id, pos: p.Seq, epoch: p.Epoch}
	}
	return c, nil
}

// API returns a REST client that uses the client's session.
func (c *Client) API() *API { return c.api }

// Me returns the user. Before the first connection, it returns the zero value.
func (c *Client) Me() chat.UserID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.me
}

// Limits returns the limits that the server announced. Before the first connection, it returns the
// zero value. The client enforces the limits itself.
func (c *Client) Limits() frame.Limits {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limits
}

// Channels returns the last known state of each channel, in no particular order.
func (c *Client) Channels() []frame.ChannelSummary {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]frame.ChannelSummary, 0, len(c.channels))
	for ch := range maps.Values(c.channels) {
		if ch.known {
			list = append(list, ch.summary)
		}
	}
	return list
}

// Events returns the channel that delivers all events; it is closed when Run returns. If the caller
// does not receive, the client stops reading from the WebSocket and therefore receives no
// acknowledgements. So the receiving goroutine must call Post, not Send.
func (c *Client) Events() <-chan Event { return c.out }

// Run connects and keeps the client connected. It returns nil once ctx is done. It returns an error
// if the server ends the session permanently: a *CloseError, or an *Error from the token source. It
// must be called only once. When it returns, all pending sends fail with ErrClosed.
func (c *Client) Run(ctx context.Context) error {
	c.mu.Lock()
	if c.started {
		c.mu.Unlock()
		return errors.New("client: Run was already called")
	}
	c.started = true
	c.mu.Unlock()

	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { c.pump(ctx) })
	err := c.stay(ctx)
	stop()
	wg.Wait()
	c.mu.Lock()
	for _, it := range c.outbox.all() {
		c.outbox.settle(it, Ack{}, ErrClosed)
	}
	c.outbox.closed = true
	c.mu.Unlock()
	close(c.out)
	return err
}

// stay connects and, after each failure, reconnects. It returns when ctx is done or an error is
// final.
func (c *Client) stay(ctx context.Context) error {
	failures := 0
	var rejected string // the last access token that the server rejected
	renewed := false    // whether the token source has been asked for another token
	for n := 0; ; n++ {
		c.deliver(ctx, Connection{State: Connecting, Attempt: failures})
		begun := c.cfg.now()
		used, greeted, err := c.connect(ctx, c.cfg.Sockets[n%len(c.cfg.Sockets)], rejected)
		if ctx.Err() != nil {
			return nil
		}
		end := judge(err)
		if c.replaced(ctx, err, used) {
			rejected, failures = used, 0
			continue
		}
		switch {
		case end.token:
			end.final = end.final && renewed && !greeted // another token gets one attempt
			rejected, renewed = used, true
		case greeted:
			rejected, renewed = "", false
		}
		if end.final {
			return err
		}
		if greeted && c.cfg.now().Sub(begun) > stableAfter {
			failures = 0
		}
		wait := end.after
		if wait == 0 {
			wait = c.cfg.jitter(maxWait(failures))
		}
		failures++
		c.log.InfoContext(ctx, "connection lost", "err", err, "wait", wait)
		c.deliver(ctx, Connection{State: Offline, Attempt: failures, Wait: wait, Err: err})
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// replaced reports whether err means that the token's session has ended and the source already has
// a token for a new session. This happens after a password change, which starts a new session.
func (c *Client) replaced(ctx context.Context, err error, used string) bool {
	e, ok := errors.AsType[*CloseError](err)
	if !ok || e.Code != closeRevoked || used == "" {
		return false
	}
	next, err := c.cfg.Tokens.Token(ctx, used)
	return err == nil && next.Access != used
}

// deliver queues events for the caller. If the queue is full because the caller is slow, deliver
// blocks, which slows down reading from the WebSocket. It gives up only when ctx is done.
func (c *Client) deliver(ctx context.Context, events ...Event) {
	for _, e := range events {
		select {
		case c.in <- e:
		case <-ctx.Done():
			return
		}
	}
}

// noteLocked queues an event for the caller without blocking. c.mu must be held.
func (c *Client) noteLocked(e Event) {
	c.notes = append(c.notes, e)
	signal(c.notesReady)
}

// pump passes events from c.in and c.notes to the caller. An event in c.notes is delivered before
// any event that is added to c.in later.
func (c *Client) pump(ctx context.Context) {
	for {
		var next Event
		select {
		case next = <-c.in:
		case <-c.notesReady:
		case <-ctx.Done():
			return
		}
		c.mu.Lock()
		events := c.notes
		c.notes = nil
		c.mu.Unlock()
		if next != nil {
			events = append(events, next)
		}
		for _, e := range events {
			select {
			case c.out <- e:
			case <-ctx.Done():
				return
			}
		}
	}
}

// signal wakes the goroutine that receives from ch, a Go channel with capacity 1. It never blocks.
func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

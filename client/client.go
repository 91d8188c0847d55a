// Package client is Parley's Go SDK: a chat client that stays connected.
//
// A Client keeps one WebSocket. When it is lost, for whatever reason that is not final, the client waits,
// connects to the next gateway, resumes every channel from where it was, and sends again what was not
// acknowledged. What it promises:
//
//   - Every event of a channel comes once, in order, without a hole, over any number of connections. Where
//     that cannot be (the server has lost writes, or too much was missed) a Reset says so, and what to do.
//   - Every message that is sent settles once: acknowledged with its one seq, or refused with a reason. It
//     is not said twice, whatever is lost on the way.
//   - A caller that reads slowly slows the socket down. Nothing is dropped, and memory stays bounded.
//
// New does no I/O and starts nothing. Run owns every goroutine and ends when its context does. The other
// methods may be called from any goroutine, before, during and after Run.
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

// Defaults of a Config.
const (
	DefaultMaxPending = 1000
	DefaultMaxCatchUp = 10_000
	DefaultBuffer     = 256
)

// Config configures a Client. A zero optional field means its default.
type Config struct {
	URL    string      // required: http(s)://host, where the REST surface is
	Tokens TokenSource // required: a Session, or what the caller makes

	// Sockets are the gateways, ws(s)://host/ws. Attempts to connect take them in turn. Default: /ws at URL.
	Sockets []string
	// Positions are where the caller stands, from the events of an earlier Client. A channel that is not
	// among them is followed from its newest event on.
	Positions map[chat.ChannelID]Position

	MaxPending int // how many sends may wait for their acknowledgement; default 1,000
	// MaxCatchUp bounds how many missed events of a channel are fetched, 200 per request; what is more ends
	// in a Reset. Default 10,000.
	MaxCatchUp int64
	Buffer     int               // events that are read ahead of the caller; default 256
	HTTP       *http.Client      // default: one of its own, with a timeout
	Dialer     *websocket.Dialer // default: one with a timeout, and the proxy of the environment
	Logger     *slog.Logger      // default: none

	// The random part of what the client waits before it connects again; default math/rand. For tests.
	jitter func(time.Duration) time.Duration
	now    func() time.Time
}

// Position is how much of a channel the caller has.
type Position struct {
	Seq   int64  `json:"seq"`
	Epoch string `json:"epoch"`
}

// Client is one user's connection to Parley.
type Client struct {
	cfg  Config
	api  *API
	log  *slog.Logger
	out  chan Event    // to the caller; only the pump sends
	in   chan Event    // to the pump, from whoever reads the socket or the history
	said chan struct{} // notes has something

	// mu guards what follows. Nothing that blocks is done under it: events are handed on after it.
	mu       sync.Mutex
	started  bool
	me       chat.UserID
	limits   frame.Limits
	link     *link // the connection, once it was greeted
	channels map[chat.ChannelID]*channel
	outbox   outbox
	notes    []Event // of callers who must not wait; at most as many as may be pending
	sent     tracker
}

// New checks cfg and applies its defaults.
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
			return nil, errors.New("client: Sockets has something that is not a URL like ws://localhost:8080/ws")
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
		cfg.Dialer = &websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: answerWithin}
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
		out: make(chan Event), in: make(chan Event, cfg.Buffer), said: make(chan struct{}, 1),
		channels: make(map[chat.ChannelID]*channel),
	}
	for id, p := range cfg.Positions {
		c.channels[id] = &channel{id: id, pos: p.Seq, epoch: p.Epoch}
	}
	return c, nil
}

// API returns the REST surface, with the client's session.
func (c *Client) API() *API { return c.api }

// Me returns the user, or zero before the first connection.
func (c *Client) Me() chat.UserID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.me
}

// Limits returns what the server has told of its limits; zero before the first connection. The client
// keeps them by itself.
func (c *Client) Limits() frame.Limits {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limits
}

// Channels returns what the client knows of its channels, in no order.
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

// Events returns the channel on which everything comes; it is closed when Run has ended. A caller that
// does not read stops the client's reading, acknowledgements included: call Post, not Send, in the
// goroutine that reads.
func (c *Client) Events() <-chan Event { return c.out }

// Run connects, and keeps the client connected until ctx ends, which is no error, or the server says
// that it is over: a *CloseError, or an *Error of the token source. It is called once. Sends that have
// not settled by then are answered with ErrClosed.
func (c *Client) Run(ctx context.Context) error {
	c.mu.Lock()
	if c.started {
		c.mu.Unlock()
		return errors.New("client: Run was called before")
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

// stay connects again and again.
func (c *Client) stay(ctx context.Context) error {
	failures := 0
	var rejected string // a token that the server did not take
	renewed := false    // for that
	for n := 0; ; n++ {
		c.tell(ctx, Connection{State: Connecting, Attempt: failures})
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
			end.final = end.final && renewed && !greeted // another token gets one try
			rejected, renewed = used, true
		case greeted:
			rejected, renewed = "", false
		}
		if end.final {
			return err
		}
		if greeted && c.cfg.now().Sub(begun) > steady {
			failures = 0
		}
		wait := end.after
		if wait == 0 {
			wait = c.cfg.jitter(ceiling(failures))
		}
		failures++
		c.log.InfoContext(ctx, "connection lost", "err", err, "wait", wait)
		c.tell(ctx, Connection{State: Offline, Attempt: failures, Wait: wait, Err: err})
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// replaced reports whether the session of a token has ended, by err, and the source has the token of another one:
// a change of the password has begun it.
func (c *Client) replaced(ctx context.Context, err error, used string) bool {
	e, ok := errors.AsType[*CloseError](err)
	if !ok || e.Code != closeRevoked || used == "" {
		return false
	}
	next, err := c.cfg.Tokens.Token(ctx, used)
	return err == nil && next.Access != used
}

// tell hands an event to the caller. It waits for a caller who is slow, which is what slows the socket
// down, and gives up only when Run ends.
func (c *Client) tell(ctx context.Context, events ...Event) {
	for _, e := range events {
		select {
		case c.in <- e:
		case <-ctx.Done():
			return
		}
	}
}

// noteLocked hands an event on without waiting. c.mu is held.
func (c *Client) noteLocked(e Event) {
	c.notes = append(c.notes, e)
	signal(c.said)
}

// pump brings what comes to the caller. A note is handed on before anything that came after it.
func (c *Client) pump(ctx context.Context) {
	for {
		var next Event
		select {
		case next = <-c.in:
		case <-c.said:
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

// signal wakes whoever waits on a channel of capacity 1.
func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

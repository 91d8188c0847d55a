// Package gateway is the WebSocket endpoint: it upgrades, authenticates, and answers what clients send.
//
// Goroutines: one reader per connection; a writer and a replay per connection while there is something
// to write or to replay; the heartbeat, the sweeper of typing, the two of package authority, and
// one each that moves cursors, publishes moved cursors, counts those of large channels and hands presence to
// users with blocks. All belong to the Gateway,
// and Run waits for them.
package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/internal/browser"
	"parley.chat/internal/eventlog"
	"parley.chat/internal/mention"
	"parley.chat/internal/msgtrace"
	"parley.chat/internal/outage"
	"parley.chat/internal/ratelimit"
	"parley.chat/internal/sender"
	"parley.chat/internal/token"
	"parley.chat/internal/unread"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/authority"
	"parley.chat/ws-server/internal/connection"
	"parley.chat/ws-server/internal/feed"
	"parley.chat/ws-server/internal/hub"
	"parley.chat/ws-server/internal/presence"
	"parley.chat/ws-server/internal/revoked"
	"parley.chat/ws-server/internal/store"
)

// Config says what a gateway works with and what it allows. All but the limits is required.
type Config struct {
	Verifier *token.Verifier
	Store    *store.Store
	Log      *eventlog.Log
	Sender   *sender.Sender
	Limiter  *ratelimit.Limiter
	Feed     *feed.Feed
	Metrics  *Metrics
	Logger   *slog.Logger

	Mentions   mention.Lookup
	MayCallAll mention.MayCallAll
	Unread     *unread.Counter

	Presence *presence.Presence
	Revoked  *revoked.Marks
	// Refuses reports whether the log takes no more in a partition right now; nil: it never does.
	Refuses func(partition int) bool

	Guard  *browser.Guard // of cookies; required
	Hosts  browser.Hosts  // under which the gateway is reached; none: any
	Limits frame.Limits
	Bounds Bounds
	// TypingExpiry is how long somebody types who does not say so again; default 6s.
	TypingExpiry time.Duration
	// VerifyEvery is the longest that a lost notice goes unnoticed; 0: the default of package authority.
	VerifyEvery time.Duration
	// EditWindow is how long a sender may edit a message; 0: for ever.
	EditWindow time.Duration
}

// Gateway serves WebSockets. Construct it, Run it, and route /ws and /ws/{channel_id} to it.
type Gateway struct {
	cfg      Config
	upgrader websocket.Upgrader
	clockLog *outage.Log // of tokens that are not valid yet

	ctx    context.Context // of everything that clients cause; ends when Run has drained
	cancel context.CancelFunc

	mu       sync.Mutex
	clients  map[*client]struct{}
	byUser   map[chat.UserID][]*client
	byAddr   map[netip.Addr]int // connections, if addresses are counted
	admitted int                // connections of the instance, upgrades in progress included
	draining bool

	typists         *typists
	receiptWriter   *receiptWriter
	receiptFanout   *receiptFanout
	receiptCounters *receiptCounters
	presenceFanout  *presenceFanout

	acks struct { // that wait for FlushAcks
		mu    sync.Mutex
		held  []*connection.Conn
		spare []*connection.Conn // an empty slice for the next
	}

	authority *authority.Authority

	sharedReads sharedReads // that those who come at the same time share
	mentions    *mentions

	inflight   gate // appends that still owe an answer
	readers    gate // the connections' goroutines
	background gate // what is done on behalf of connections beside their readers
	writers    sync.WaitGroup
}

// New returns a gateway.
func New(cfg Config) *Gateway {
	g := &Gateway{
		cfg: cfg, clients: make(map[*client]struct{}), byUser: make(map[chat.UserID][]*client),
		byAddr: make(map[netip.Addr]int),
		upgrader: websocket.Upgrader{
			HandshakeTimeout: 5 * time.Second,
			// Small: most frames that people send are, and there is one buffer per connection.
			ReadBufferSize:  256,
			WriteBufferSize: 512,
			WriteBufferPool: new(sync.Pool), // gorilla itself writes the handshake and control frames only
			Subprotocols:    []string{frame.Subprotocol},
			CheckOrigin:     nil, // set below; the gateway has checked before
		},
	}
	g.upgrader.CheckOrigin = allowAny
	g.clockLog = outage.New(cfg.Logger, token.ClockBehind, token.ClockRight)
	g.mentions = newMentions(&g.cfg)
	g.typists = newTypists(cmp.Or(cfg.TypingExpiry, 6*time.Second), g.publishTyping)
	g.receiptWriter = g.newReceiptWriter()
	g.receiptFanout = &receiptFanout{
		g: g, wake: make(chan struct{}, 1), pending: make(map[chat.ChannelID]*movedReceipts), sizes: make(map[chat.ChannelID]channelSize),
	}
	g.receiptCounters = &receiptCounters{
		g: g, wake: make(chan struct{}, 1), moves: make(map[chat.ChannelID]int64), channels: make(map[chat.ChannelID]*receiptCounter),
	}
	cfg.Metrics.limit.Set(float64(cfg.Bounds.Connections))
	g.presenceFanout = &presenceFanout{g: g, wake: make(chan struct{}, 1)}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.sharedReads = newSharedReads(g.ctx, &g.cfg)
	g.authority = g.newAuthority()
	return g
}

// Run keeps the heartbeat and the periodic checks until ctx is done, and then drains: it takes no more connections, lets what
// was sent be acknowledged, and asks every client to come back elsewhere, each after a time of its own.
func (g *Gateway) Run(ctx context.Context) error {
	var periodic sync.WaitGroup
	periodic.Go(func() { g.authority.Run(ctx) })
	periodic.Go(func() { g.typists.run(ctx) })
	periodic.Go(func() { g.receiptWriter.run(ctx) })
	periodic.Go(func() { g.receiptFanout.run(ctx) })
	periodic.Go(func() { g.receiptCounters.run(ctx) })
	periodic.Go(func() { g.presenceFanout.run(ctx) })
	g.heartbeat(ctx)
	periodic.Wait()
	g.drain()
	g.receiptWriter.drain(context.WithoutCancel(ctx))
	return nil
}

const (
	drainAckTimeout     = 9 * time.Second // the limiter and the append answer within their own bounds, together less
	drainCloseTimeout   = 3 * time.Second // for clients to answer the close frame
	maxReconnectDelayMS = 10_000          // ms, over which the clients of a closing instance spread
)

func (g *Gateway) drain() {
	g.mu.Lock()
	g.draining = true
	all := make([]*client, 0, len(g.clients))
	for c := range g.clients {
		all = append(all, c)
	}
	g.mu.Unlock()
	g.inflight.close()
	g.inflight.waitTimeout(drainAckTimeout)
	for _, c := range all {
		c.out.Close(connection.CloseRestart, reconnectReason())
	}
	if !g.readers.waitTimeout(drainCloseTimeout) {
		for _, c := range all {
			c.out.Abort()
		}
	}
	g.cancel()
	g.readers.close() // who was upgraded at the last moment is turned away
	g.readers.active.Wait()
	g.background.close()
	g.background.active.Wait()
	g.sharedReads.wait()
	g.authority.Wait()
	g.mentions.names.Wait()
	g.writers.Wait()
}

// reconnectReason is the reason of a close that invites the client back after a random time, so that
// not all come at once.
func reconnectReason() string {
	return fmt.Sprintf(`{"reconnect_after_ms":%d}`, rand.IntN(maxReconnectDelayMS))
}

// closeReason is the JSON reason of a close frame.
func closeReason(text string) string {
	b, _ := json.Marshal(map[string]string{"message": text})
	return string(b)
}

// register registers a client; false: the gateway is draining.
func (g *Gateway) register(c *client) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining {
		return false
	}
	g.clients[c] = struct{}{}
	g.cfg.Metrics.connections.Set(float64(len(g.clients)))
	return true
}

// addToUser makes an authenticated client known by its user, so that notices reach it; false: the user has
// too many connections.
func (g *Gateway) addToUser(c *client) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if limit := g.cfg.Bounds.ConnectionsPerUser; limit > 0 && len(g.byUser[c.user]) >= limit {
		g.cfg.Metrics.refused.WithLabelValues("user").Inc()
		return false
	}
	g.byUser[c.user] = append(g.byUser[c.user], c)
	return true
}

func (g *Gateway) unregister(c *client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.clients, c)
	g.releaseConnectionLocked(c)
	g.cfg.Metrics.connections.Set(float64(len(g.clients)))
	mine := g.byUser[c.user]
	for i, other := range mine {
		if other == c {
			mine[i] = mine[len(mine)-1]
			mine[len(mine)-1] = nil
			mine = mine[:len(mine)-1]
			break
		}
	}
	if len(mine) == 0 {
		delete(g.byUser, c.user)
	} else {
		g.byUser[c.user] = mine
	}
}

// clientsOf returns the connections of a user.
func (g *Gateway) clientsOf(user chat.UserID) []*client {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]*client(nil), g.byUser[user]...)
}

// HubConfig is what the feed's hub needs to know of this package: how frames are made. Deliveries of traced
// events are shown in their traces.
func HubConfig(m *Metrics, traces *msgtrace.Tracer) hub.Config {
	return hub.Config{
		Delivered: traceDeliveries(traces),
		Count:     func(n int) { m.deliveries.Add(float64(n)) },
		Join:      func(frames [][]byte) []byte { return connection.Text(frames...) },
		Resync: func(c chat.ChannelID, epoch event.Epoch, lastSeq int64) []byte {
			return connection.Text(frame.Encode(frame.Resync{ChannelID: c, Epoch: string(epoch), LastSeq: lastSeq}))
		},
	}
}

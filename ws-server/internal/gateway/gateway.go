// Package gateway implements the WebSocket endpoint. It upgrades HTTP requests, authenticates
// clients, and answers the frames that they send.
//
// Each connection has one reader goroutine. It also has a writer goroutine while its socket is
// full, and a replay goroutine while a subscription is missing events. The gateway itself runs one
// goroutine, the heartbeat. The packages receipts, typing, presencefanout and authority do the rest
// of the work in their own goroutines. The Gateway constructs and owns them, and Run waits for all
// goroutines.
package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/mention"
	"parley.chat/internal/eventlog/msgtrace"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/eventlog/sender"
	"parley.chat/internal/eventlog/unread"
	"parley.chat/internal/platform/browser"
	"parley.chat/internal/platform/outage"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/authority"
	"parley.chat/ws-server/internal/changes"
	"parley.chat/ws-server/internal/connection"
	"parley.chat/ws-server/internal/feed"
	"parley.chat/ws-server/internal/hub"
	"parley.chat/ws-server/internal/presence"
	"parley.chat/ws-server/internal/presencefanout"
	"parley.chat/ws-server/internal/receipts"
	"parley.chat/ws-server/internal/revoked"
	"parley.chat/ws-server/internal/store"
	"parley.chat/ws-server/internal/typing"
)

// Config holds the dependencies and the limits of a gateway. All fields are required unless noted
// otherwise.
type Config struct {
	Verifier *token.Verifier
	Store    *store.Store
	Log      *eventlog.Log
	Receipts *receiptlog.Log
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
	// Refuses reports whether the log currently refuses appends to a partition. If nil, the log
	// refuses nothing.
	Refuses func(partition int) bool

	Guard  *browser.Guard // checks the origin of requests that authenticate with a cookie
	Hosts  browser.Hosts  // host names that the gateway serves; empty means any
	Limits frame.Limits   // sent to clients in hello
	Bounds Bounds
	// TypingExpiry is how long a typing state lasts unless the client renews it. Zero means the
	// default of package typing.
	TypingExpiry time.Duration
	// VerifyEvery is the maximum time before a lost notice is detected. Zero means the default of
	// package authority.
	VerifyEvery time.Duration
	// EditWindow is how long a message may be edited after it was sent. Zero means forever.
	EditWindow time.Duration
}

// Gateway serves WebSockets. Call Run, and route /ws and /ws/{channel_id} to its Handler.
type Gateway struct {
	cfg      Config
	upgrader websocket.Upgrader
	clockLog *outage.Log // logs tokens that are not valid yet

	ctx    context.Context // parent of all client requests' contexts; canceled when Run has drained the gateway
	cancel context.CancelFunc

	mu       sync.Mutex
	clients  map[*client]struct{}
	byUser   map[chat.UserID][]*client
	byAddr   map[netip.Addr]int // number of connections per address; unused if that number is not limited
	admitted int                // connections that count toward the instance's limit, including upgrades in progress
	draining bool

	typing   *typing.Tracker
	receipts *receipts.Receipts
	presence *presencefanout.Fanout

	acks struct { // connections with acks waiting for FlushAcks
		mu    sync.Mutex
		held  []*connection.Conn
		spare []*connection.Conn // empty slice; FlushAcks swaps it with held to reuse its memory
	}

	authority *authority.Authority

	sharedReads sharedReads // reads that concurrent callers share
	mentions    *mentions
	changes     changes.Rules

	inflight   gate // appends that have not been answered yet
	readers    gate // reader goroutines of the connections
	background gate // other work on behalf of connections
	sockets    connection.Owner
}

// New returns a Gateway. It performs no I/O and starts no goroutine.
func New(cfg Config) *Gateway {
	g := &Gateway{
		cfg: cfg, clients: make(map[*client]struct{}), byUser: make(map[chat.UserID][]*client),
		byAddr: make(map[netip.Addr]int),
		upgrader: websocket.Upgrader{
			HandshakeTimeout: 5 * time.Second,
			// Keep the buffers small: every connection has its own read buffer, and most frames are
			// small.
			ReadBufferSize:  256,
			WriteBufferSize: 512,
			WriteBufferPool: new(sync.Pool), // gorilla writes only the handshake and control frames
			Subprotocols:    []string{frame.Subprotocol},
			CheckOrigin:     nil, // set below; the gateway checks origins itself
		},
	}
	g.upgrader.CheckOrigin = allowAny
	g.sockets.OnSlow = cfg.Metrics.slow.Inc
	g.clockLog = outage.New(cfg.Logger, token.ClockBehind, token.ClockRight)
	g.mentions = newMentions(&g.cfg)
	g.changes = changes.Rules{Hub: cfg.Feed.Hub, Log: cfg.Log, Store: cfg.Store, EditWindow: cfg.EditWindow}
	g.typing = typing.New(typing.Config{Publish: g.publishTyping, Expiry: cfg.TypingExpiry})
	g.receipts = g.newReceipts()
	cfg.Metrics.limit.Set(float64(cfg.Bounds.Connections))
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.sharedReads = newSharedReads(g.ctx, &g.cfg)
	g.authority = g.newAuthority()
	g.presence = g.newPresenceFanout()
	return g
}

// Run runs the heartbeat and the periodic work until ctx is done, and then drains the gateway. It
// stops accepting connections, waits for pending appends to be acknowledged, and closes every
// connection. Each client is asked to reconnect to another instance after its own random delay.
func (g *Gateway) Run(ctx context.Context) error {
	var periodic sync.WaitGroup
	periodic.Go(func() { g.authority.Run(ctx) })
	periodic.Go(func() { g.typing.Run(ctx) })
	periodic.Go(func() { g.receipts.Run(ctx) })
	periodic.Go(func() { g.presence.Run(ctx) })
	g.heartbeat(ctx)
	periodic.Wait()
	g.drain()
	g.receipts.Drain(context.WithoutCancel(ctx))
	return nil
}

const (
	drainAckTimeout     = 9 * time.Second // longer than the rate limiter's and the append's timeouts combined
	drainCloseTimeout   = 3 * time.Second // for clients to answer the close frame
	maxReconnectDelayMS = 10_000          // reconnects are spread over this many milliseconds
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
	g.readers.close() // connections upgraded from here on are closed
	g.readers.active.Wait()
	g.background.close()
	g.background.active.Wait()
	g.sharedReads.wait()
	g.authority.Wait()
	g.mentions.names.Wait()
	g.sockets.Wait()
}

// reconnectReason returns a close reason that asks the client to reconnect after a random delay, so
// that clients do not all reconnect at the same moment.
func reconnectReason() string {
	return fmt.Sprintf(`{"reconnect_after_ms":%d}`, rand.IntN(maxReconnectDelayMS))
}

// closeReason returns the JSON reason for a close frame. It shortens the text if the frame would be
// too long.
func closeReason(text string) string {
	const mark = "…"
	for {
		b, _ := json.Marshal(map[string]string{"message": text})
		over := len(b) - connection.MaxCloseReason
		if over <= 0 {
			return string(b)
		}
		text = strings.ToValidUTF8(text[:max(0, len(text)-over-2*len(mark))], "") + mark
	}
}

// register adds a client to the gateway. It returns false if the gateway is draining.
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

// addToUser indexes an authenticated client by its user, so that notices reach it. It returns false
// if the user already has the maximum number of connections.
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

// isSubscribed reports whether any of a user's connections is subscribed to a channel.
func (g *Gateway) isSubscribed(user chat.UserID, channel chat.ChannelID) bool {
	return slices.ContainsFunc(g.clientsOf(user), func(c *client) bool { return c.subscription(channel) != nil })
}

// sendEphemeral sends an ephemeral frame to those connections of a user that are subscribed to a
// channel.
func (g *Gateway) sendEphemeral(user chat.UserID, channel chat.ChannelID, f frame.Server) {
	text := connection.Text(frame.Encode(f))
	for _, c := range g.clientsOf(user) {
		if c.subscription(channel) != nil {
			c.out.SendEphemeral(text)
		}
	}
}

// HubConfig returns the configuration of the feed's hub, including the encoding of frames.
// Deliveries of traced events are recorded in their traces.
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

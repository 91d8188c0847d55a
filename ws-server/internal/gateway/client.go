package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/authority"
	"parley.chat/ws-server/internal/connection"
	"parley.chat/ws-server/internal/hub"
	"parley.chat/ws-server/internal/smallmap"
	"parley.chat/ws-server/internal/typing"
)

// maxBadFrames is the number of consecutive bad frames after which a connection is closed.
const maxBadFrames = 10

// client holds one connection, its authenticated user and its subscriptions.
type client struct {
	out connection.Conn // must be first, because a fan-out prefetches the first cache line of every connection

	g  *Gateway
	ws *websocket.Conn // the reading side

	// These fields are set before the first frame is handled and do not change afterward.
	user         chat.UserID
	session      chat.SessionID
	username     string
	subscribeAll bool            // true for /ws without ?subscribe=none
	onlyChannel  *chat.ChannelID // the channel of /ws/{channel_id}, else nil
	slot         uint32          // determines when in the heartbeat interval the connection is pinged
	access       *authority.User // the user's cached memberships, roles and blocks; nil before greet

	expiresAt         atomic.Int64 // expiry of the token, in Unix seconds; 0 before authentication
	badFrames         int          // consecutive bad frames; used only by the reader
	frameBucket       tokenBucket  // limits all frames; used only by the reader
	controlBucket     tokenBucket  // limits control frames; used only by the reader
	freeSubscriptions int          // number of further subscriptions that do not count toward the frame limit; used only by the reader
	counted           bool         // the connection counts toward the instance's limit; guarded by g.mu
	addr              netip.Addr   // address whose limit the connection counts toward, if any; guarded by g.mu

	earlyFrames []decodedFrame // JSON objects that followed the auth object in the same frame; used only by the reader
	inflight    chan struct{}  // limits the sends that are waiting for an ack; used only by the reader

	// subscribing serializes changes to the subscriptions. It is held while reading from Redis and
	// PostgreSQL, and is locked before mu.
	subscribing sync.Mutex

	mu             sync.Mutex
	left           bool // cleaned up: accepts no more subscriptions
	watching       bool // the feed watches the user's topic for this connection
	subs           smallmap.Map[chat.ChannelID, *hub.Subscription]
	replays        []*hub.Subscription            // subscriptions that are missing events
	replaying      bool                           // the replay goroutine is running
	directChannels map[chat.UserID]chat.ChannelID // ids of direct channels, by the other user
}

var slotCounter atomic.Uint32

// run is the connection's goroutine. It calls admit, then handles frames until the socket is
// closed, then cleans up.
func (c *client) run(admit func() bool) {
	c.ws.SetReadLimit(frame.MaxClientBytes)
	c.ws.SetPongHandler(func(string) error {
		c.out.Touch(time.Now())
		c.allowControlFrame()
		return nil
	})
	pong := c.ws.PingHandler()
	c.ws.SetPingHandler(func(text string) error {
		c.out.Touch(time.Now())
		if c.allowControlFrame() {
			return pong(text)
		}
		return nil
	})
	loop := c.readLoop
	if !admit() {
		loop = c.awaitClosed
	}
	// admit makes this goroutine's stack grow. Handle the frames in a new goroutine, so that the
	// large stack is freed.
	if !c.g.readers.run(func() { defer c.cleanup(); loop() }) {
		c.cleanup()
	}
}

// readLoop handles messages one by one until the socket is closed.
func (c *client) readLoop() {
	for i := range c.earlyFrames {
		c.handle(&c.earlyFrames[i].f, c.earlyFrames[i].err)
	}
	c.earlyFrames = nil
	for {
		kind, r, err := c.ws.NextReader()
		if err != nil {
			return
		}
		if !c.readMessage(kind, r) {
			return
		}
	}
}

// frameBuffers pools the read buffers, so that an idle connection needs none.
var frameBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readMessage reads and handles one WebSocket message. The buffer is reused afterward, so handlers
// must not retain any of its bytes. readMessage returns false if the socket was closed.
func (c *client) readMessage(kind int, r io.Reader) bool {
	b := frameBuffers.Get().(*bytes.Buffer)
	defer frameBuffers.Put(b)
	b.Reset()
	if _, err := b.ReadFrom(r); err != nil {
		return false
	}
	c.out.Touch(time.Now())
	switch {
	case c.out.Closing(): // the reader only waits for the client to answer the close frame
	case kind != websocket.TextMessage:
		c.rejectFrame("", apierr.New(apierr.BadFrame, "Binary frames are not supported."))
	case !utf8.Valid(b.Bytes()):
		c.out.Close(connection.CloseInvalidUTF8, closeReason("The frame is not valid UTF-8."))
	default:
		frame.Decode(b.Bytes(), c.handle)
	}
	return true
}

// awaitClosed discards messages after a close frame until the client has answered it or the socket
// is closed.
func (c *client) awaitClosed() {
	for {
		if _, _, err := c.ws.NextReader(); err != nil {
			return
		}
	}
}

// decodedFrame is one object from a frame, or the error from decoding it.
type decodedFrame struct {
	f   frame.Client
	err error
}

// rejectFrame answers a bad frame with an error. It closes the connection after maxBadFrames
// consecutive bad frames.
func (c *client) rejectFrame(ref string, err error) {
	c.sendError(ref, nil, err)
	if c.badFrames++; c.badFrames >= maxBadFrames {
		c.out.Close(connection.ClosePolicy, closeReason("Too many bad frames in a row."))
	}
}

// sendError answers a frame with an error. channel is set if the error concerns one of several
// channels in the frame.
func (c *client) sendError(ref string, channel *chat.ChannelID, err error) {
	e := apierr.Of(err)
	if e.Code == apierr.Internal {
		c.g.cfg.Logger.Error("failed to handle frame", "user_id", c.user, "err", err)
	}
	c.g.cfg.Metrics.errors.WithLabelValues(string(e.Code)).Inc()
	f := frame.ErrorOf(ref, err)
	f.ChannelID = channel
	c.send(f)
}

func (c *client) send(f frame.Server) { c.out.Send(connection.Text(frame.Encode(f)), 1) }

// awaitAuth waits for the auth frame of a client that connected without a token.
func (c *client) awaitAuth() bool {
	const authTimeout = 5 * time.Second
	closeWith := func(err error) bool { c.out.Close(closeParams(err)); return false }
	if err := c.ws.SetReadDeadline(time.Now().Add(authTimeout)); err != nil {
		return false
	}
	kind, data, err := c.ws.ReadMessage()
	if err != nil {
		return closeWith(apierr.New(apierr.Unauthenticated, "No auth frame was received within %s.", apierr.Duration(authTimeout)))
	}
	if err := c.ws.SetReadDeadline(time.Time{}); err != nil {
		return false
	}
	authErr := errors.New("nothing read")
	var decided bool
	if kind == websocket.TextMessage && utf8.Valid(data) {
		frame.Decode(data, func(f *frame.Client, err error) {
			switch {
			case decided:
				c.earlyFrames = append(c.earlyFrames, decodedFrame{*f, err}) // handled after hello
			case err != nil:
				authErr, decided = err, true
			case f.Type != frame.Auth:
				authErr, decided = apierr.New(apierr.Unauthenticated, "The first frame must be an auth frame."), true
			default:
				authErr, decided = c.g.authenticate(c.g.ctx, c, *f.Token), true
			}
		})
	} else {
		authErr = apierr.New(apierr.Unauthenticated, "The first frame must be an auth frame.")
	}
	if authErr != nil {
		if apierr.CodeOf(authErr) == apierr.BadFrame {
			authErr = apierr.New(apierr.Unauthenticated, "The first frame must be an auth frame. %s", apierr.Of(authErr).Message)
		}
		return closeWith(authErr)
	}
	return true
}

// tokenExpired reports whether the connection's token has expired.
func (c *client) tokenExpired(now time.Time) bool {
	at := c.expiresAt.Load()
	return at != 0 && now.Unix() >= at
}

// cleanup ends the connection's subscriptions and removes the gateway's references to the
// connection.
func (c *client) cleanup() {
	c.out.Abort()
	c.subscribing.Lock()
	c.mu.Lock()
	subs, watched := c.subs, c.watching
	c.subs, c.left = smallmap.Map[chat.ChannelID, *hub.Subscription]{}, true
	c.mu.Unlock()
	c.subscribing.Unlock()
	channels := make([]chat.ChannelID, 0, subs.Len())
	for id, s := range subs.All() {
		s.Leave()
		c.access.Release(id)
		c.g.typing.Unsubscribed(typing.Typist{Channel: id, User: c.user}, c)
		channels = append(channels, id)
	}
	if len(channels) > 0 {
		c.g.cfg.Presence.Disconnect(c.user, channels)
	}
	c.g.unregister(c)
	if c.access != nil {
		c.g.authority.Leave(c.access, c.session)
	}
	if watched {
		c.g.cfg.Feed.Unwatch(c.user)
	}
}

// requestContext returns a context for one request of the client. It expires after requestTimeout.
func (c *client) requestContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.g.ctx, requestTimeout)
}

func newConnectionID() string { return uuid.NewString() }

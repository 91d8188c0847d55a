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
)

// maxBadFrames in a row end a connection.
const maxBadFrames = 10

// client is one connection and what its user does over it.
type client struct {
	out connection.Conn // first: a fan-out needs the beginning of it, of every connection

	g  *Gateway
	ws *websocket.Conn // the reading side

	// Set before the first frame is taken, and constant from then on.
	user         chat.UserID
	session      chat.SessionID
	username     string
	subscribeAll bool            // /ws without ?subscribe=none
	onlyChannel  *chat.ChannelID // /ws/{channel_id}
	slot         uint32          // of the heartbeat
	access       *authority.User // what is remembered of the user; nil until the connection is greeted

	expiresAt         atomic.Int64 // of the token, Unix seconds; 0 before authentication
	badFrames         int          // bad frames in a row; the reader's own
	frameBucket       tokenBucket  // of frames; the reader's own
	controlBucket     tokenBucket  // of control frames; the reader's own
	freeSubscriptions int          // subscriptions that are not charged; the reader's own
	counted           bool         // it counts for the instance; guarded by g.mu
	addr              netip.Addr   // that it counts for, if addresses are counted; guarded by g.mu

	earlyFrames []decodedFrame // what came with the auth frame; the reader's own
	inflight    chan struct{}  // bounds the sends that wait for their ack; the reader's own

	// subscribing makes one change of the subscriptions at a time. It is held across reads of the
	// stores, and taken before mu.
	subscribing sync.Mutex

	mu             sync.Mutex
	left           bool // left: takes no subscriptions any more
	watching       bool // its user's topic is followed on its behalf
	subs           smallmap.Map[chat.ChannelID, *hub.Subscription]
	replays        []*hub.Subscription            // that lack something
	replaying      bool                           // the replay goroutine runs
	directChannels map[chat.UserID]chat.ChannelID // the ids of direct channels, by the other user
}

var slotCounter atomic.Uint32

// run is the connection's goroutine: begin, then one frame after the other, then leave.
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
	// begin has gone deep, into the stores. A goroutine of its own lets go of the stack that this took.
	if !c.g.readers.run(func() { defer c.cleanup(); loop() }) {
		c.cleanup()
	}
}

// readLoop takes one frame after the other until the socket ends.
func (c *client) readLoop() {
	for i := range c.earlyFrames {
		c.handleDecoded(&c.earlyFrames[i].f, c.earlyFrames[i].err)
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

// frameBuffers holds buffers for what is read. A connection that says nothing has none.
var frameBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readMessage takes one WebSocket message. Nothing of its buffer outlives it.
func (c *client) readMessage(kind int, r io.Reader) bool {
	b := frameBuffers.Get().(*bytes.Buffer)
	defer frameBuffers.Put(b)
	b.Reset()
	if _, err := b.ReadFrom(r); err != nil {
		return false
	}
	c.out.Touch(time.Now())
	if !c.out.Closing() { // else we wait for the client to answer the close frame
		c.handleMessage(kind, b.Bytes())
	}
	return true
}

// awaitClosed reads on after a close frame until the client has answered it or the socket is closed.
func (c *client) awaitClosed() {
	for {
		if _, _, err := c.ws.NextReader(); err != nil {
			return
		}
	}
}

// handleMessage handles one WebSocket message.
func (c *client) handleMessage(kind int, data []byte) {
	switch {
	case kind != websocket.TextMessage:
		c.rejectFrame("", apierr.New(apierr.BadFrame, "binary frames are not understood"))
	case !utf8.Valid(data):
		c.out.Close(connection.CloseInvalidUTF8, closeReason("not valid UTF-8"))
	default:
		frame.Decode(data, c.handleDecoded)
	}
}

// decodedFrame is one object of a frame, or what is wrong with it.
type decodedFrame struct {
	f   frame.Client
	err error
}

// handleDecoded does what a client has asked for, or says why not.
func (c *client) handleDecoded(f *frame.Client, err error) {
	c.pace()
	if c.out.Closing() {
		return
	}
	if err != nil {
		c.rejectFrame(f.Ref, err)
		return
	}
	c.badFrames = 0
	if err := c.handle(f); err != nil {
		c.sendError(f.Ref, err)
	}
}

// rejectFrame answers a bad frame; too many in a row end the connection.
func (c *client) rejectFrame(ref string, err error) {
	c.sendError(ref, err)
	if c.badFrames++; c.badFrames >= maxBadFrames {
		c.out.Close(connection.ClosePolicy, closeReason("too many bad frames in a row"))
	}
}

// sendError answers a frame with an error.
func (c *client) sendError(ref string, err error) { c.sendChannelError(ref, nil, err) }

// sendChannelError is fail for one of the channels that a frame is about.
func (c *client) sendChannelError(ref string, channel *chat.ChannelID, err error) {
	e := apierr.Of(err)
	if e.Code == apierr.Internal {
		c.g.cfg.Logger.Error("frame not handled", "user_id", c.user, "err", err)
	}
	c.g.cfg.Metrics.errors.WithLabelValues(string(e.Code)).Inc()
	f := frame.ErrorOf(ref, err)
	f.ChannelID = channel
	c.send(f)
}

func (c *client) send(f frame.Server) { c.out.Send(connection.Text(frame.Encode(f)), 1) }

// awaitAuth waits for the auth frame of a client that came without a token.
func (c *client) awaitAuth() bool {
	const authTimeout = 5 * time.Second
	closeWith := func(err error) bool { c.out.Close(closeParams(err)); return false }
	if err := c.ws.SetReadDeadline(time.Now().Add(authTimeout)); err != nil {
		return false
	}
	kind, data, err := c.ws.ReadMessage()
	if err != nil {
		return closeWith(apierr.New(apierr.Unauthenticated, "no auth frame within %s", authTimeout))
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
				c.earlyFrames = append(c.earlyFrames, decodedFrame{*f, err}) // of the same frame: for after hello
			case err != nil:
				authErr, decided = err, true
			case f.Type != frame.Auth:
				authErr, decided = apierr.New(apierr.Unauthenticated, "the first frame must be auth"), true
			default:
				authErr, decided = c.g.authenticate(c.g.ctx, c, *f.Token), true
			}
		})
	} else {
		authErr = apierr.New(apierr.Unauthenticated, "the first frame must be auth")
	}
	if authErr != nil {
		if apierr.CodeOf(authErr) == apierr.BadFrame {
			authErr = apierr.New(apierr.Unauthenticated, "the first frame must be auth: %s", apierr.Of(authErr).Message)
		}
		return closeWith(authErr)
	}
	return true
}

// tokenExpired reports whether the token has run out.
func (c *client) tokenExpired(now time.Time) bool {
	at := c.expiresAt.Load()
	return at != 0 && now.Unix() >= at
}

// cleanup undoes everything that the connection was part of.
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
		c.g.typists.connectionLeft(c, id)
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

// requestContext returns a context for work on behalf of a client.
func (c *client) requestContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.g.ctx, requestTimeout)
}

func newConnectionID() string { return uuid.NewString() }

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
	only         *chat.ChannelID // /ws/{channel_id}
	slot         uint32          // of the heartbeat
	who          *authority.User // what is remembered of the user; nil until the connection is greeted

	expires  atomic.Int64 // of the token, Unix seconds; 0 before authentication
	bad      int          // bad frames in a row; the reader's own
	bucket   bucket       // of frames; the reader's own
	controls bucket       // of control frames; the reader's own
	free     int          // subscriptions that are not charged; the reader's own
	counts   bool         // it counts for the instance; guarded by g.mu
	addr     netip.Addr   // that it counts for, if addresses are counted; guarded by g.mu

	early    []decoded     // what came with the auth frame; the reader's own
	inflight chan struct{} // bounds the sends that wait for their ack; the reader's own

	// subscribing makes one change of the subscriptions at a time. It is held across reads of the
	// stores, and taken before mu.
	subscribing sync.Mutex

	mu        sync.Mutex
	gone      bool // left: takes no subscriptions any more
	watched   bool // its user's topic is followed on its behalf
	subs      smallmap.Map[chat.ChannelID, *hub.Subscription]
	replays   []*hub.Subscription            // that lack something
	replaying bool                           // the replay goroutine runs
	directs   map[chat.UserID]chat.ChannelID // the ids of direct channels, by the other user
}

var slots atomic.Uint32

// run is the connection's goroutine: begin, then one frame after the other, then leave.
func (c *client) run(begin func() bool) {
	c.ws.SetReadLimit(frame.MaxClientBytes)
	c.ws.SetPongHandler(func(string) error {
		c.out.Touch(time.Now())
		c.control()
		return nil
	})
	pong := c.ws.PingHandler()
	c.ws.SetPingHandler(func(text string) error {
		c.out.Touch(time.Now())
		if c.control() {
			return pong(text)
		}
		return nil
	})
	next := c.read
	if !begin() {
		next = c.awaitEnd
	}
	// begin has gone deep, into the stores. A goroutine of its own lets go of the stack that this took.
	if !c.g.readers.run(func() { defer c.leave(); next() }) {
		c.leave()
	}
}

// read takes one frame after the other until the socket ends.
func (c *client) read() {
	for i := range c.early {
		c.answer(&c.early[i].f, c.early[i].err)
	}
	c.early = nil
	for {
		kind, r, err := c.ws.NextReader()
		if err != nil {
			return
		}
		if !c.readFrame(kind, r) {
			return
		}
	}
}

// frames holds buffers for what is read. A connection that says nothing has none.
var frames = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readFrame takes one WebSocket message. Nothing of its buffer outlives it.
func (c *client) readFrame(kind int, r io.Reader) bool {
	b := frames.Get().(*bytes.Buffer)
	defer frames.Put(b)
	b.Reset()
	if _, err := b.ReadFrom(r); err != nil {
		return false
	}
	c.out.Touch(time.Now())
	if !c.out.Closing() { // else we wait for the client to answer the close frame
		c.take(kind, b.Bytes())
	}
	return true
}

// awaitEnd reads on after a close frame until the client has answered it or the socket is closed.
func (c *client) awaitEnd() {
	for {
		if _, _, err := c.ws.NextReader(); err != nil {
			return
		}
	}
}

// take handles one WebSocket message.
func (c *client) take(kind int, data []byte) {
	switch {
	case kind != websocket.TextMessage:
		c.refuse("", apierr.New(apierr.BadFrame, "binary frames are not understood"))
	case !utf8.Valid(data):
		c.out.Close(connection.CloseInvalidUTF8, reason("not valid UTF-8"))
	default:
		frame.Decode(data, c.answer)
	}
}

// decoded is one object of a frame, or what is wrong with it.
type decoded struct {
	f   frame.Client
	err error
}

// answer does what a client has asked for, or says why not.
func (c *client) answer(f *frame.Client, err error) {
	c.pace()
	if c.out.Closing() {
		return
	}
	if err != nil {
		c.refuse(f.Ref, err)
		return
	}
	c.bad = 0
	if err := c.handle(f); err != nil {
		c.fail(f.Ref, err)
	}
}

// refuse answers a bad frame; too many in a row end the connection.
func (c *client) refuse(ref string, err error) {
	c.fail(ref, err)
	if c.bad++; c.bad >= maxBadFrames {
		c.out.Close(connection.ClosePolicy, reason("too many bad frames in a row"))
	}
}

// fail answers a frame with an error.
func (c *client) fail(ref string, err error) { c.failIn(ref, nil, err) }

// failIn is fail for one of the channels that a frame is about.
func (c *client) failIn(ref string, channel *chat.ChannelID, err error) {
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
	const patience = 5 * time.Second
	fail := func(err error) bool { c.out.Close(closeOf(err)); return false }
	if err := c.ws.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return false
	}
	kind, data, err := c.ws.ReadMessage()
	if err != nil {
		return fail(apierr.New(apierr.Unauthenticated, "no auth frame within %s", patience))
	}
	if err := c.ws.SetReadDeadline(time.Time{}); err != nil {
		return false
	}
	first := errors.New("nothing read")
	var got bool
	if kind == websocket.TextMessage && utf8.Valid(data) {
		frame.Decode(data, func(f *frame.Client, err error) {
			switch {
			case got:
				c.early = append(c.early, decoded{*f, err}) // of the same frame: for after hello
			case err != nil:
				first, got = err, true
			case f.Type != frame.Auth:
				first, got = apierr.New(apierr.Unauthenticated, "the first frame must be auth"), true
			default:
				first, got = c.g.authenticate(c.g.ctx, c, *f.Token), true
			}
		})
	} else {
		first = apierr.New(apierr.Unauthenticated, "the first frame must be auth")
	}
	if first != nil {
		if apierr.CodeOf(first) == apierr.BadFrame {
			first = apierr.New(apierr.Unauthenticated, "the first frame must be auth: %s", apierr.Of(first).Message)
		}
		return fail(first)
	}
	return true
}

// expired reports whether the token has run out.
func (c *client) expired(now time.Time) bool {
	at := c.expires.Load()
	return at != 0 && now.Unix() >= at
}

// leave undoes everything that the connection was part of.
func (c *client) leave() {
	c.out.Abort()
	c.subscribing.Lock()
	c.mu.Lock()
	subs, watched := c.subs, c.watched
	c.subs, c.gone = smallmap.Map[chat.ChannelID, *hub.Subscription]{}, true
	c.mu.Unlock()
	c.subscribing.Unlock()
	channels := make([]chat.ChannelID, 0, subs.Len())
	for id, s := range subs.All() {
		s.Leave()
		c.who.Release(id)
		c.g.typists.gone(c, id)
		channels = append(channels, id)
	}
	if len(channels) > 0 {
		c.g.cfg.Presence.Disconnect(c.user, channels)
	}
	c.g.remove(c)
	if c.who != nil {
		c.g.authority.Leave(c.who, c.session)
	}
	if watched {
		c.g.cfg.Feed.Unwatch(c.user)
	}
}

// bounded returns a context for work on behalf of a client.
func (c *client) bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.g.ctx, admissionTimeout)
}

func newConnectionID() string { return uuid.NewString() }

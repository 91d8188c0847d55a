// Package wstest is a WebSocket client for tests. It stores every received frame, in order, and
// waits for the frames that a test asks for. It checks every received frame against
// docs/websocket.schema.json, and fails the test if a frame does not match.
package wstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// Frame is any frame from the server, with the fields that tests use.
type Frame struct {
	Type      string         `json:"type"`
	Ref       string         `json:"ref"`
	Code      string         `json:"code"`
	Message   string         `json:"message"`
	ChannelID chat.ChannelID `json:"channel_id"`
	ClientID  chat.ClientID  `json:"client_id"`
	ID        chat.EventID   `json:"id"`
	SenderID  chat.UserID    `json:"sender_id"`
	UserID    chat.UserID    `json:"user_id"`
	Seq       int64          `json:"seq"`
	LastSeq   int64          `json:"last_seq"`
	Epoch     string         `json:"epoch"`
	Body      string         `json:"body"`
	MessageID chat.EventID   `json:"message_id"`
	Emoji     string         `json:"emoji"`
	Remove    bool           `json:"remove"`
	Duplicate bool           `json:"duplicate"`
	Recovered bool           `json:"recovered"`
	HasMore   bool           `json:"has_more"`
	Change    string         `json:"change"`

	RetryAfterMS int64                  `json:"retry_after_ms"`
	Channels     []frame.ChannelSummary `json:"channels"`
	Raw          json.RawMessage        `json:"-"`
}

// Event reports whether the frame is an event with a seq.
func (f Frame) Event() bool {
	switch f.Type {
	case "message", "edit", "delete", "reaction", "member_joined", "member_left", "channel_updated", "gap", "lost", "noop":
		return f.Seq > 0
	case "failed": // a tombstone; unlike the notice of the same type, it has no client id
		return f.Seq > 0 && f.ClientID.IsZero()
	}
	return false
}

// Conn is one connection.
type Conn struct {
	ws   *websocket.Conn
	done chan struct{}

	mu       sync.Mutex
	frames   []Frame
	returned []bool        // returned[i] reports whether Await has returned frames[i]
	from     int           // Await has returned all frames before this index
	changed  chan struct{} // closed and replaced whenever frames or err changes
	err      error
	writing  sync.Mutex
}

// Dial connects to url (ws://…). It sends token as a bearer token, unless token is empty. The
// connection is closed when the test ends.
func Dial(t testing.TB, url, token string) *Conn {
	t.Helper()
	c, _, err := TryDial(t, url, http.Header{"Authorization": bearer(token)})
	if err != nil {
		t.Fatalf("connect to %s: %v", url, err)
	}
	return c
}

func bearer(token string) []string {
	if token == "" {
		return nil
	}
	return []string{"Bearer " + token}
}

// TryDial is like Dial, but sends the given header and returns an error if the connection is
// refused. The response contains the reason.
func TryDial(t testing.TB, url string, header http.Header) (*Conn, *http.Response, error) {
	schema, err := LoadSchema()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	ws, resp, err := (&websocket.Dialer{Subprotocols: []string{frame.Subprotocol}}).DialContext(ctx, url, header)
	if err != nil {
		return nil, resp, err
	}
	c := &Conn{ws: ws, done: make(chan struct{}), changed: make(chan struct{})}
	go c.read(t, schema) // Close closes the socket, which ends read, and waits until read has returned
	t.Cleanup(c.Close)
	return c, resp, nil
}

func (c *Conn) read(t testing.TB, schema *Schema) {
	defer close(c.done)
	for {
		_, data, err := c.ws.ReadMessage()
		c.mu.Lock()
		if err != nil {
			c.err = err
		} else {
			for line := range strings.SplitSeq(string(data), "\n") {
				var f Frame
				if uerr := json.Unmarshal([]byte(line), &f); uerr != nil {
					c.err = fmt.Errorf("frame %.200q: %w", line, uerr)
				}
				if serr := schema.CheckServer([]byte(line)); serr != nil {
					t.Errorf("%s does not allow the frame\n%.2000s\n%v", schema.Path, line, serr)
				}
				f.Raw = json.RawMessage(line)
				c.frames = append(c.frames, f)
				c.returned = append(c.returned, false)
			}
		}
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Done returns a channel that is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Close closes the socket and waits until the goroutine that reads from it has ended.
func (c *Conn) Close() {
	_ = c.ws.Close()
	<-c.done
}

// Send sends v as JSON; it sends a string unchanged.
func (c *Conn) Send(t testing.TB, v any) {
	t.Helper()
	if err := c.TrySend(v); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// TrySend is like Send, but returns an error instead of failing the test, because the connection
// may be closed.
func (c *Conn) TrySend(v any) error {
	data, raw := v.(string)
	if !raw {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		data = string(b)
	}
	return c.Write(websocket.TextMessage, []byte(data))
}

// Write sends one WebSocket message of any type.
func (c *Conn) Write(kind int, data []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.ws.WriteMessage(kind, data)
}

// Say sends a message with a new client id, which is also the frame's ref. It returns the client
// id.
func (c *Conn) Say(t testing.TB, channel chat.ChannelID, body string) chat.ClientID {
	t.Helper()
	id := chat.NewClientID()
	c.Send(t, map[string]any{"type": "send", "ref": id.String(), "channel_id": channel, "client_id": id, "body": body})
	return id
}

// Await returns the first frame that match accepts and that Await has not returned before. It fails
// the test if no matching frame arrives; what describes the expected frame in the failure message.
func (c *Conn) Await(t testing.TB, what string, match func(Frame) bool) Frame {
	t.Helper()
	f, err := c.TryAwait(testkit.Timeout, match)
	if err != nil {
		t.Fatalf("waiting for %s: %v; frames: %s", what, err, c.dump())
	}
	return f
}

// AwaitType waits for a frame of the given type; see Await.
func (c *Conn) AwaitType(t testing.TB, kind string) Frame {
	t.Helper()
	return c.Await(t, kind, func(f Frame) bool { return f.Type == kind })
}

// AwaitRef waits for the answer to the frame with the given ref; see Await.
func (c *Conn) AwaitRef(t testing.TB, ref string) Frame {
	t.Helper()
	return c.Await(t, "the answer to "+ref, func(f Frame) bool { return f.Ref == ref })
}

// TryAwait is like Await, but returns an error instead of failing the test.
func (c *Conn) TryAwait(timeout time.Duration, match func(Frame) bool) (Frame, error) {
	over := time.After(timeout)
	for {
		c.mu.Lock()
		for c.from < len(c.returned) && c.returned[c.from] {
			c.from++
		}
		for i := c.from; i < len(c.frames); i++ {
			if f := c.frames[i]; !c.returned[i] && match(f) {
				c.returned[i] = true
				c.mu.Unlock()
				return f, nil
			}
		}
		err, changed := c.err, c.changed
		c.mu.Unlock()
		if err != nil {
			return Frame{}, err
		}
		select {
		case <-changed:
		case <-over:
			return Frame{}, errors.New("it did not arrive")
		}
	}
}

// AwaitClose waits for the end of the connection and returns its close code (1006 if there is none)
// and reason.
func (c *Conn) AwaitClose(t testing.TB) (code int, reason string) {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(testkit.Timeout):
		t.Fatalf("the connection was not closed; frames: %s", c.dump())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ce, ok := errors.AsType[*websocket.CloseError](c.err); ok {
		return ce.Code, ce.Text
	}
	return websocket.CloseAbnormalClosure, c.err.Error()
}

// Frames returns all frames received so far.
func (c *Conn) Frames() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Frame(nil), c.frames...)
}

// Events returns the events in a channel that have been received so far, in order of arrival.
func (c *Conn) Events(channel chat.ChannelID) []Frame {
	var events []Frame
	for _, f := range c.Frames() {
		if f.Event() && f.ChannelID == channel {
			events = append(events, f)
		}
	}
	return events
}

// AwaitSeq waits until the channel's event with the given seq has arrived. It fails the test unless
// the seqs of the channel's events are first, first+1, …, without gaps or duplicates.
func (c *Conn) AwaitSeq(t testing.TB, channel chat.ChannelID, first, seq int64) {
	t.Helper()
	deadline := time.Now().Add(testkit.Timeout)
	for {
		c.mu.Lock()
		err, changed := c.err, c.changed
		c.mu.Unlock()
		events := c.Events(channel)
		for i, e := range events {
			if e.Seq != first+int64(i) {
				t.Fatalf("event %d of the channel has seq %d, want %d", i, e.Seq, first+int64(i))
			}
		}
		if n := len(events); n > 0 && events[n-1].Seq >= seq {
			return
		}
		if err != nil {
			t.Fatalf("the connection ended before seq %d: %v", seq, err)
		}
		select {
		case <-changed:
		case <-time.After(time.Until(deadline)):
			t.Fatalf("seq %d did not arrive; %d events did", seq, len(events))
		}
	}
}

func (c *Conn) dump() string {
	var b strings.Builder
	frames := c.Frames()
	if n := len(frames); n > 20 {
		fmt.Fprintf(&b, "(%d before) ", n-20)
		frames = frames[n-20:]
	}
	for _, f := range frames {
		fmt.Fprintf(&b, "\n  %.300s", f.Raw)
	}
	return b.String()
}

// Ended reports whether the connection has ended and Await has returned all its frames.
func (c *Conn) Ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return false
	}
	return !slices.Contains(c.returned[c.from:], false)
}

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// patience bounds every single thing that is waited for.
const patience = 30 * time.Second

// line is a message with its place in the channel.
type line struct {
	seq  int64
	body string
}

// actor is one of the two users, with a browser's means: cookies and a WebSocket.
type actor struct {
	base, name string
	http       *http.Client

	conn   *websocket.Conn
	frames chan []byte // closed by the reader, after it has set lost
	lost   error
	limits frame.Limits
	seen   int64  // seq of the newest event
	heard  []line // the messages, in the order in which they came
	hole   error  // the first event that did not follow on the one before
	sends  []time.Time
}

func newActor(base, name string) *actor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // it never fails without options
	}
	return &actor{base: base, name: name, http: &http.Client{Jar: jar, Timeout: patience}}
}

// call sends a request of the API; answer may be nil.
func (a *actor) call(ctx context.Context, method, path string, body, answer any) error {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, payload)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", a.name, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s: %s %s: %s: %s", a.name, method, path, resp.Status, bytes.TrimSpace(b))
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// signUp makes the account; its session is in the cookies from then on.
func (a *actor) signUp(ctx context.Context) error {
	return a.call(ctx, http.MethodPost, "/v1/signup", map[string]string{
		"username": a.name, "email": a.name + "@example.com", "password": rand.Text(),
	}, nil)
}

func (a *actor) createChannel(ctx context.Context, name string) (chat.ChannelID, error) {
	var created struct {
		ID chat.ChannelID `json:"id"`
	}
	err := a.call(ctx, http.MethodPost, "/v1/channels", map[string]any{"name": name, "kind": chat.Unlisted}, &created)
	return created.ID, err
}

func (a *actor) join(ctx context.Context, channel chat.ChannelID) error {
	return a.call(ctx, http.MethodPost, "/v1/channels/"+channel.String()+"/join", nil, nil)
}

// history reads the channel through the API, page by page.
func (a *actor) history(ctx context.Context, channel chat.ChannelID) ([]line, error) {
	var all []line
	for query := "after_seq=0"; ; {
		var page struct {
			Items []struct {
				Seq  int64  `json:"seq"`
				Body string `json:"body"`
			} `json:"items"`
			Next *string `json:"next_cursor"`
		}
		if err := a.call(ctx, http.MethodGet, "/v1/channels/"+channel.String()+"/messages?limit=200&"+query, nil, &page); err != nil {
			return nil, err
		}
		for _, m := range page.Items {
			all = append(all, line{m.Seq, m.Body})
		}
		if page.Next == nil {
			return all, nil
		}
		query = "cursor=" + url.QueryEscape(*page.Next)
	}
}

// connect opens the WebSocket, starts its reader and takes the hello. disconnect ends the reader.
func (a *actor) connect(ctx context.Context, channel chat.ChannelID) error {
	d := websocket.Dialer{Jar: a.http.Jar, HandshakeTimeout: patience, Subprotocols: []string{frame.Subprotocol}}
	conn, resp, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(a.base, "http")+"/ws", nil) //nolint:bodyclose // gorilla: it need not be closed
	if err != nil {
		if resp != nil {
			err = fmt.Errorf("%w: %s", err, resp.Status)
		}
		return fmt.Errorf("connect %s: %w", a.name, err)
	}
	a.conn, a.frames = conn, make(chan []byte, 256)
	go a.read()
	select {
	case data, ok := <-a.frames:
		if !ok {
			return fmt.Errorf("connect %s: %w", a.name, a.lost)
		}
		return a.greet(data, channel)
	case <-time.After(patience):
		return fmt.Errorf("connect %s: no hello within %v", a.name, patience)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *actor) read() {
	defer close(a.frames)
	for {
		_, data, err := a.conn.ReadMessage()
		if err != nil {
			a.lost = err
			return
		}
		for object := range bytes.Lines(data) {
			if object = bytes.TrimSpace(object); len(object) > 0 {
				a.frames <- object
			}
		}
	}
}

// greet takes from hello the limits and where the channel stands.
func (a *actor) greet(data []byte, channel chat.ChannelID) error {
	var hello struct {
		Type string `json:"type"`
		frame.Hello
	}
	if err := json.Unmarshal(data, &hello); err != nil || hello.Type != "hello" {
		return fmt.Errorf("connect %s: want hello, got %.200s", a.name, data)
	}
	a.limits = hello.Limits
	for _, c := range hello.Channels {
		if c.ChannelID == channel {
			a.seen = c.LastSeq
			return nil
		}
	}
	return fmt.Errorf("connect %s: hello does not list channel %s", a.name, channel)
}

// disconnect closes the WebSocket and waits for the reader.
func (a *actor) disconnect() {
	if a.conn == nil {
		return
	}
	_ = a.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	_ = a.conn.Close()
	for range a.frames { // until the reader has ended
		continue
	}
}

// say sends a message. The client id lets it be sent again.
func (a *actor) say(channel chat.ChannelID, id chat.ClientID, ref int, body string) error {
	_ = a.conn.SetWriteDeadline(time.Now().Add(patience))
	err := a.conn.WriteJSON(map[string]any{
		"type": frame.Send, "ref": strconv.Itoa(ref), "channel_id": channel, "client_id": id, "body": body,
	})
	if err != nil {
		return fmt.Errorf("%s sends: %w", a.name, err)
	}
	return nil
}

// note takes in an event of the channel, message or not.
func (a *actor) note(e *received) {
	if e.Seq != a.seen+1 && a.hole == nil {
		a.hole = fmt.Errorf("%s got seq %d after %d", a.name, e.Seq, a.seen)
	}
	a.seen = e.Seq
	if e.Type == "message" {
		a.heard = append(a.heard, line{e.Seq, e.Body})
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/client"
	"parley.chat/client/internal/gatewaytest"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

var (
	echo = chat.NewUserID() // the bot
	ann  = chat.NewUserID()
)

// server is a fake server for one bot in one channel. It records what the bot does.
type server struct {
	*gatewaytest.Gateway
	t *testing.T

	// guarded by Mu
	known    bool // the bot has an account
	summary  frame.ChannelSummary
	history  []map[string]any // the newest page
	requests []string         // requests other than those for the WebSocket, with their bodies
}

func newServer(t *testing.T, kind chat.ChannelKind) *server {
	t.Helper()
	s := &server{t: t, known: true, summary: frame.ChannelSummary{ChannelID: chat.NewChannelID(), Kind: kind, Epoch: "1-a"}}
	s.Gateway = gatewaytest.New(t, s.summary.ChannelID)
	s.User, s.REST = echo, s.rest
	s.Hello = func(_ *websocket.Conn, h *frame.Hello) { h.Channels = []frame.ChannelSummary{s.summary} }
	s.OnSend = func(conn *websocket.Conn, f frame.Client) (apierr.Code, bool) { // the bot's own messages are not in the log
		s.Send(conn, frame.Encode(frame.Ack{Ref: f.Ref, ChannelID: *f.ChannelID, ClientID: *f.ClientID, ID: chat.NewEventID(), Seq: 1000, SentAt: chat.Now()}))
		return "", true
	}
	return s
}

func (s *server) rest(w http.ResponseWriter, r *http.Request) bool {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	b, _ := io.ReadAll(r.Body)
	s.requests = append(s.requests, r.URL.Path+" "+string(b))
	answer := map[string]any{"access_token": "access", "refresh_token": "refresh", "expires_in": 600, "items": s.history}
	if r.URL.Path == "/v1/signup" {
		s.known = true
	} else if !s.known {
		w.WriteHeader(http.StatusUnauthorized)
		answer = map[string]any{"code": apierr.InvalidCredentials, "detail": "no such account"}
	}
	_ = json.NewEncoder(w).Encode(answer) // fails only if the bot has disconnected
	return true
}

// say sends a message event from a user and returns the event's id.
func (s *server) say(by chat.UserID, body string, mentions ...chat.UserID) chat.EventID {
	return s.Put(s.summary.ChannelID, frame.Event{Type: event.Message, ClientID: new(chat.NewClientID()), SenderID: by, Body: body, Mentions: mentions})
}

// start runs the program and returns a function that ends it and returns its error.
func (s *server) start(args ...string) (end func() error) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, append([]string{"-url", s.URL}, args...), password("secret"), io.Discard)
	}()
	end = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	s.t.Cleanup(func() { _ = end() })
	return end
}

// password returns an environment with the bot's password.
func password(p string) func(string) string {
	return func(name string) string { return map[string]string{"ECHO_PASSWORD": p}[name] }
}

// TestAnswers checks which messages the bot answers, and the answers.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		kind     chat.ChannelKind
		by       chat.UserID
		body     string
		mentions []chat.UserID
		want     string // empty: no answer
	}{
		{"a command", chat.Public, ann, "!echo good  morning", nil, "good  morning"},
		{"no command", chat.Public, ann, "say !echo good morning", nil, ""},
		{"a longer word", chat.Public, ann, "!echoes", nil, ""},
		{"a mention", chat.Public, ann, "hello @echo!", []chat.UserID{ann, echo}, "hello !"},
		{"a mention of another user", chat.Public, ann, "hello @echo!", []chat.UserID{ann}, ""},
		{"nothing but a mention", chat.Public, ann, "@echo", []chat.UserID{echo}, "?"},
		{"a direct message", chat.Direct, ann, "just us", nil, "just us"},
		{"its own message", chat.Direct, echo, "!echo myself", []chat.UserID{echo}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, tt.kind)
			s.start()
			s.Await(1, frame.Subscribe)
			id := s.say(tt.by, tt.body, tt.mentions...)
			last := s.say(ann, "!echo the end") // answered in order
			n := 1
			if tt.want != "" {
				n = 2
			}
			sent := s.Await(n, frame.Send)
			if end := sent[len(sent)-1]; len(sent) != n || *end.Body != "the end" || *end.ReplyTo != last {
				t.Fatalf("%d answers, want %d; the last is %+v", len(sent), n, end)
			}
			if tt.want == "" {
				return
			}
			if got := sent[0]; *got.Body != tt.want || *got.ReplyTo != id || *got.ChannelID != s.summary.ChannelID || got.ClientID.UUID != id.UUID {
				t.Errorf("the answer is %q to %s with client id %s, want %q to %s, with the id of the message", *got.Body, got.ReplyTo, got.ClientID, tt.want, id)
			}
		})
	}
}

// TestMarksAsRead checks that messages are marked as read, whether the bot answers them or not, so
// that the next run does not answer them again.
func TestMarksAsRead(t *testing.T) {
	t.Parallel()
	s := newServer(t, chat.Public)
	s.start()
	s.Await(1, frame.Subscribe)
	s.say(ann, "!echo a")
	s.say(ann, "b")
	s.Until("both are marked as read", func() bool {
		read := s.Received(frame.Read)
		return len(read) > 0 && *read[len(read)-1].Seq == 2
	})
}

// TestAnswersUnread checks that the bot answers exactly the messages that it missed while it was
// not running: unread messages from others that precede the first event that it will receive.
func TestAnswersUnread(t *testing.T) {
	t.Parallel()
	s := newServer(t, chat.Direct)
	s.summary.LastSeq, s.summary.LastReadSeq, s.summary.Unread = 8, 3, 2
	s.Log[s.summary.ChannelID] = make([]frame.Event, 8) // the bot reads them as history
	message := func(seq int64, by chat.UserID, body string) map[string]any {
		return map[string]any{"id": chat.NewEventID(), "channel_id": s.summary.ChannelID, "seq": seq, "sender_id": by, "body": body}
	}
	deleted := message(6, ann, "deleted")
	deleted["deleted_at"] = "2026-01-02T03:04:05.006Z"
	s.history = []map[string]any{
		message(2, ann, "read before"), message(4, ann, "from before the unread ones"), message(5, ann, "first"), deleted,
		message(7, echo, "its own"), message(8, ann, "second"), message(9, ann, "arrives as an event"),
	}
	s.start()
	s.Await(2, frame.Send)
	s.Await(1, frame.Subscribe)
	s.say(ann, "third")
	var bodies []string
	for _, f := range s.Await(3, frame.Send) {
		bodies = append(bodies, *f.Body)
	}
	if got := strings.Join(bodies, ", "); got != "first, second, third" {
		t.Errorf("answers: %s", got)
	}
}

// TestRun_signsUp checks that the bot creates its account on first use, and joins the given channel
// before it runs.
func TestRun_signsUp(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]bool{"first use": false, "later": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, chat.Public)
			s.known = known
			end := s.start("-as", "parrot", "-join", s.summary.ChannelID.String())
			s.Await(1, frame.Subscribe)
			if err := end(); err != nil {
				t.Errorf("run = %v", err)
			}
			want := []string{`/v1/login {"login":"parrot","password":"secret","session":"bearer"}`}
			if !known {
				want = append(want, `/v1/signup {"email":"parrot@bots.example","password":"secret","session":"bearer","username":"parrot"}`)
			}
			want = append(want, "/v1/channels/"+s.summary.ChannelID.String()+"/join ")
			s.Mu.Lock()
			defer s.Mu.Unlock()
			if !slices.Equal(s.requests, want) {
				t.Errorf("requests\n %q, want\n %q", s.requests, want)
			}
		})
	}
}

// TestRun_refuses checks the errors with which the program refuses to start.
func TestRun_refuses(t *testing.T) {
	t.Parallel()
	s := newServer(t, chat.Public)
	for _, tt := range []struct {
		name, password string
		args           []string
		want           string // part of the error; empty: none
	}{
		{"no password", "", nil, "ECHO_PASSWORD"},
		{"an unknown flag", "secret", []string{"-loud"}, "loud"},
		{"a channel that is not an id", "secret", []string{"-url", s.URL, "-join", "tea"}, "join tea"},
		{"a server that is not a URL", "secret", []string{"-url", "localhost"}, "not a URL"},
		{"help", "", []string{"-h"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := run(t.Context(), tt.args, password(tt.password), &out)
			if tt.want == "" {
				if err != nil || !strings.Contains(out.String(), "-join") {
					t.Errorf("%v, printed %q", err, &out)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("run = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestRun_sessionEnded checks that the program ends with the server's reason.
func TestRun_sessionEnded(t *testing.T) {
	t.Parallel()
	s := newServer(t, chat.Public)
	ended := make(chan error, 1)
	go func() {
		ended <- run(context.Background(), []string{"-url", s.URL}, password("secret"), io.Discard)
	}()
	s.Await(1, frame.Subscribe)
	s.Cut("", 4503)
	select {
	case err := <-ended:
		if want := (&client.CloseError{Code: 4503}).Error(); fmt.Sprint(err) != want {
			t.Errorf("run = %v, want %s", err, want)
		}
	case <-time.After(gatewaytest.Timeout):
		t.Error("the program continues")
	}
}

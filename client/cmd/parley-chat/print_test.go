package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"parley.chat/client"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

var (
	tea = chat.NewChannelID() // the current channel
	den = chat.NewChannelID() // another one
	ann = chat.NewUserID()
	me  chat.UserID // zero, because the client of these tests never connects

	noon = chat.At(time.Date(2026, 1, 2, 12, 34, 0, 0, time.Local))
)

// testScreen returns a screen for a client that never connects, with the current channel tea, and
// the screen's output.
func testScreen(t *testing.T, rest http.HandlerFunc) (*screen, *bytes.Buffer) {
	t.Helper()
	if rest == nil {
		rest = func(_ http.ResponseWriter, r *http.Request) { t.Errorf("unexpected request: %s %s", r.Method, r.URL) }
	}
	server := httptest.NewServer(rest)
	t.Cleanup(server.Close)
	c, err := client.New(client.Config{URL: server.URL, Tokens: client.StaticToken("x")})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s := newScreen(c, &out)
	s.channels[tea] = frame.ChannelSummary{ChannelID: tea, Name: "tea", Kind: chat.Public}
	s.channels[den] = frame.ChannelSummary{ChannelID: den, Name: "den", Kind: chat.Public}
	s.names[ann] = "ann"
	s.at(tea)
	return s, &out
}

// answer returns a REST API that gives the same answer to every request.
func answer(status int, format string, args ...any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, format, args...)
	}
}

// TestShow checks what is printed for each event.
func TestShow(t *testing.T) {
	t.Parallel()
	message := chat.NewEventID()
	everyone := chat.UserID{UUID: tea.UUID}
	in := func(c chat.ChannelID, e frame.Event) client.Event {
		e.ChannelID, e.SenderID, e.SenderName, e.SentAt, e.Seq = c, ann, "ann", noon, 7
		return client.ChannelEvent{Event: e}
	}
	status := func(kind event.Kind, state client.State, err error) client.Event {
		return client.Status{ClientID: chat.NewClientID(), Kind: kind, State: state, Seq: 7, Err: err}
	}
	for _, tt := range []struct {
		name string
		e    client.Event
		want string
	}{
		{"connecting", client.Connection{State: client.Connecting}, ""},
		{"online", client.Connection{State: client.Online}, "  · online\n"},
		{"offline", client.Connection{State: client.Offline, Wait: 1234 * time.Millisecond, Err: errors.New("reset")}, "  · offline, retrying in 1.2 seconds (reset)\n"},
		{"sent", status(event.Message, client.Sent, nil), "  · ✓ 7\n"},
		{"delivered", status(event.Message, client.Delivered, nil), "  · ✓✓ 7\n"},
		{"read", status(event.Message, client.Read, nil), "  · ✓✓ 7 read\n"},
		{"an edit is reported by its command", status(event.Edit, client.Sent, nil), ""},
		{"not sent", status(event.Message, client.Failed, errors.New("too late")), "  · ✗ not sent: a message: too late\n"},
		{"a message", in(tea, frame.Event{Type: event.Message, Body: "hi"}), "[tea] 12:34 ann: hi\n"},
		{"a message in another channel", in(den, frame.Event{Type: event.Message, Body: "hi"}), "[den] 12:34 ann: hi\n"},
		{"a mention", in(tea, frame.Event{Type: event.Message, Body: "hi", Mentions: []chat.UserID{me}}), "[tea] 12:34 ann: hi (names you)\n"},
		{"a mention of everyone", in(tea, frame.Event{Type: event.Message, Body: "hi", Mentions: []chat.UserID{everyone}}), "[tea] 12:34 ann: hi (names you)\n"},
		{"a mention of another user", in(tea, frame.Event{Type: event.Message, Body: "hi", Mentions: []chat.UserID{ann}}), "[tea] 12:34 ann: hi\n"},
		{"an edit", in(tea, frame.Event{Type: event.Edit, MessageID: &message, Body: "ho", Mentions: []chat.UserID{me}}), "[tea] 12:34 ann: ho (edited, names you)\n"},
		{"a deletion", in(tea, frame.Event{Type: event.Delete, MessageID: &message}), "[tea] 12:34 ann:  (deleted a message)\n"},
		{"a reaction", in(tea, frame.Event{Type: event.Reaction, MessageID: &message, Emoji: "👍"}), "  · tea: ann reacts with 👍 to “the message”\n"},
		{"a reaction that is removed", in(tea, frame.Event{Type: event.Reaction, MessageID: &message, Emoji: "👍", Remove: true}), "  · tea: ann takes back 👍 from “the message”\n"},
		{"a reaction to an older message", in(tea, frame.Event{Type: event.Reaction, MessageID: new(chat.NewEventID()), Emoji: "👍"}), "  · tea: ann reacts with 👍 to an older message\n"},
		{"a new member", in(tea, frame.Event{Type: event.MemberJoined, UserID: new(chat.NewUserID()), Username: "bob"}), "  · tea: bob joined\n"},
		{"a member leaves", in(tea, frame.Event{Type: event.MemberLeft, UserID: new(chat.NewUserID()), Username: "bob"}), "  · tea: bob left\n"},
		{"a tombstone", in(tea, frame.Event{Type: event.Lost}), ""},
		{"the end of another channel", client.Left{ChannelID: den}, "  · no longer in den\n"},
		{"typing", client.Typing{TypingNotice: frame.TypingNotice{ChannelID: tea, UserID: ann, Typing: true}}, "  · ann is typing\n"},
		{"typing in another channel", client.Typing{TypingNotice: frame.TypingNotice{ChannelID: den, UserID: ann, Typing: true}}, ""},
		{"this user types elsewhere", client.Typing{TypingNotice: frame.TypingNotice{ChannelID: tea, UserID: me, Typing: true}}, ""},
		{"an unknown user types", client.Typing{TypingNotice: frame.TypingNotice{ChannelID: tea, UserID: chat.NewUserID(), Typing: true}}, "  · somebody is typing\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, out := testScreen(t, nil)
			s.snippets.add(message, "the message")
			s.show(t.Context(), tt.e)
			if got := out.String(); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestShow_typingOnce checks that typing is shown when it begins, and not again until a message has
// arrived.
func TestShow_typingOnce(t *testing.T) {
	t.Parallel()
	s, out := testScreen(t, nil)
	typing := client.Typing{TypingNotice: frame.TypingNotice{ChannelID: tea, UserID: ann, Typing: true}}
	s.show(t.Context(), typing)
	s.show(t.Context(), typing)
	s.show(t.Context(), client.ChannelEvent{Event: frame.Event{Type: event.Message, ChannelID: tea, SenderID: ann, SenderName: "ann", Seq: 1, SentAt: noon, Body: "hi"}})
	s.show(t.Context(), typing)
	if want := "  · ann is typing\n[tea] 12:34 ann: hi\n  · ann is typing\n"; out.String() != want {
		t.Errorf("%q, want %q", out, want)
	}
}

// TestShow_left checks that no input is sent to a channel that the user has left.
func TestShow_left(t *testing.T) {
	t.Parallel()
	s, out := testScreen(t, nil)
	s.show(t.Context(), client.Left{ChannelID: tea})
	if !s.typed(t.Context(), "hello?") || s.refused != 1 || !strings.Contains(out.String(), "✗ not sent: hello?: no channel") {
		t.Errorf("%d refused, printed %q", s.refused, out)
	}
}

// TestJoined checks what is shown when a channel is followed: its name and counts and, if it
// becomes the current channel, its newest messages.
func TestJoined(t *testing.T) {
	t.Parallel()
	attic := chat.NewChannelID()
	joined := client.Joined{Channel: frame.ChannelSummary{ChannelID: attic, Name: "attic", LastSeq: 9, Unread: 3, UnreadMentions: 2}}
	line := "  · in attic, 3 unread (2 mention you); " + attic.String() + "\n"
	page := fmt.Sprintf(`{"items":[{"seq":8,"sender_id":%q,"sender_name":"ann","body":"old","sent_at":%[2]q},{"seq":9,"sender_id":%[1]q,"sender_name":"ann","body":"new","sent_at":%[2]q}]}`, ann, noon)
	messages := "[attic] 12:34 ann: old\n[attic] 12:34 ann: new\n"
	for _, tt := range []struct {
		name   string
		before func(s *screen)
		want   string
		reads  int // how often the history is read
	}{
		{"the first channel", func(s *screen) { s.current, s.chosen = chat.ChannelID{}, false }, line + "  · talking in attic\n" + messages, 1},
		{"another channel", func(*screen) {}, line, 0},
		{"the user has chosen none", func(s *screen) { s.at(chat.ChannelID{}) }, line, 0},
		{"the current channel, of which a part was shown", func(s *screen) { s.at(attic); s.shown = 8 }, line + "[attic] 12:34 ann: new\n", 1},
		{"the current channel, which was shown", func(s *screen) { s.at(attic); s.shown = 9 }, line, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			reads := 0
			s, out := testScreen(t, func(w http.ResponseWriter, r *http.Request) {
				reads++
				answer(http.StatusOK, "%s", page)(w, r)
			})
			tt.before(s)
			s.show(t.Context(), joined)
			if out.String() != tt.want || reads != tt.reads {
				t.Errorf("%q after %d requests, want %q after %d", out, reads, tt.want, tt.reads)
			}
		})
	}
}

// TestHistory checks how messages from the history are shown, and that the same messages are not
// shown again when they arrive as events.
func TestHistory(t *testing.T) {
	t.Parallel()
	mine, edited, gone := chat.NewEventID(), chat.NewEventID(), chat.NewEventID()
	at := noon.String()
	s, out := testScreen(t, answer(http.StatusOK, `{"items":[
		{"id":%[1]q,"seq":4,"sender_id":%[4]q,"sender_name":"me","body":"mine","sent_at":%[6]q,"reactions":[{"emoji":"👍","count":2},{"emoji":"🎉","count":1}]},
		{"id":%[2]q,"seq":5,"sender_id":%[5]q,"sender_name":"ann","body":"changed","sent_at":%[6]q,"edited_at":%[6]q},
		{"id":%[3]q,"seq":7,"sender_id":%[4]q,"sender_name":"me","body":"","sent_at":%[6]q,"deleted_at":%[6]q}]}`, mine, edited, gone, me, ann, at))
	s.switchTo(t.Context(), tea)
	want := "  · talking in tea\n[tea] 12:34 me: mine (👍 2, 🎉 1)\n[tea] 12:34 ann: changed (edited)\n[tea] 12:34 me:  (deleted)\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out, want)
	}
	if s.lastMine != mine || s.last != edited {
		t.Errorf("/edit applies to %s and /react to %s, want %s and %s: not to the deleted message", s.lastMine, s.last, mine, edited)
	}
	out.Reset()
	for seq := range int64(8) {
		s.show(t.Context(), client.ChannelEvent{Event: frame.Event{Type: event.Message, ChannelID: tea, SenderName: "ann", Seq: seq + 1, SentAt: noon, Body: fmt.Sprint(seq + 1)}})
	}
	if want := "[tea] 12:34 ann: 8\n"; out.String() != want {
		t.Errorf("after the history: %q, want %q", out, want)
	}
}

// TestReset checks that after a gap the newest messages are shown.
func TestReset(t *testing.T) {
	t.Parallel()
	s, out := testScreen(t, answer(http.StatusServiceUnavailable, `{"code":"unavailable","detail":"the database is down"}`))
	s.show(t.Context(), client.Reset{ChannelID: tea})
	if want := "  · some messages of tea were missed; these are the newest\n  · cannot read the history: the database is down\n"; out.String() != want {
		t.Errorf("%q, want %q", out, want)
	}
}

// TestForget checks that commands do not apply to a deleted message or to a message in the
// previously current channel.
func TestForget(t *testing.T) {
	t.Parallel()
	s, _ := testScreen(t, nil)
	id := chat.NewEventID()
	say := client.ChannelEvent{Event: frame.Event{Type: event.Message, ChannelID: tea, ID: id, Seq: 1, SentAt: noon, Body: "x"}, Mine: true}
	s.show(t.Context(), say)
	if s.last != id || s.lastMine != id {
		t.Errorf("the last message is %s, and mine %s, want %s", s.last, s.lastMine, id)
	}
	s.show(t.Context(), client.ChannelEvent{Event: frame.Event{Type: event.Delete, ChannelID: tea, MessageID: &id, Seq: 2, SentAt: noon}})
	if !s.last.IsZero() || !s.lastMine.IsZero() {
		t.Errorf("after the deletion: %s and %s", s.last, s.lastMine)
	}
	say.Seq = 3
	s.show(t.Context(), say)
	s.at(den)
	if !s.last.IsZero() || !s.lastMine.IsZero() {
		t.Errorf("in another channel: %s and %s", s.last, s.lastMine)
	}
}

// TestName checks the names that are shown for channels.
func TestName(t *testing.T) {
	t.Parallel()
	s, _ := testScreen(t, nil)
	direct, known, unknown := chat.NewChannelID(), chat.NewChannelID(), chat.NewChannelID()
	s.channels[direct] = frame.ChannelSummary{ChannelID: direct, Kind: chat.Direct}
	s.channels[known] = frame.ChannelSummary{ChannelID: known, Kind: chat.Direct}
	s.peers[known] = "bob"
	for id, want := range map[chat.ChannelID]string{
		tea: "tea", direct: "direct " + direct.String()[:8], known: "@bob", unknown: unknown.String()[:8],
	} {
		if got := s.name(id); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestSnippets checks that messages are shortened to one line, and that only the newest ones are
// kept.
func TestSnippets(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"short":                        "“short”",
		"two\nlines":                   "“two…”",
		strings.Repeat("ä", 30):        "“" + strings.Repeat("ä", 30) + "”",
		strings.Repeat("ä", 31):        "“" + strings.Repeat("ä", 30) + "…”",
		"":                             "an older message",
		strings.Repeat("x", 40) + "\n": "“" + strings.Repeat("x", 30) + "…”",
	} {
		var sn snippets
		id := chat.NewEventID()
		sn.add(id, body)
		if got := sn.of(id); got != want {
			t.Errorf("%q becomes %s, want %s", body, got, want)
		}
	}
	var sn snippets
	ids := make([]chat.EventID, 1001)
	for i := range ids {
		ids[i] = chat.NewEventID()
		sn.add(ids[i], "x")
		sn.add(ids[i], "changed") // an edit adds no entry
	}
	if len(sn.text) != 1000 || len(sn.ids) != 1000 || sn.of(ids[0]) != "an older message" || sn.of(ids[1]) != "“changed”" {
		t.Errorf("%d are kept; the first is %s, the second %s", len(sn.text), sn.of(ids[0]), sn.of(ids[1]))
	}
}

// TestLearnPeers checks that a direct channel is named after its other user, whose name comes from
// a REST response.
func TestLearnPeers(t *testing.T) {
	t.Parallel()
	direct := chat.NewChannelID()
	s, out := testScreen(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/channels" {
			fmt.Fprintf(w, `{"items":[{"id":%q,"kind":"direct","peer":{"user_id":%q,"username":"bob"}}]}`, direct, chat.NewUserID())
			return
		}
		_, _ = io.WriteString(w, `{}`) // fails only if the client has disconnected
	})
	s.show(t.Context(), client.Joined{Channel: frame.ChannelSummary{ChannelID: direct, Kind: chat.Direct}})
	if want := "  · in @bob, 0 unread; " + direct.String() + "\n"; out.String() != want {
		t.Errorf("%q, want %q", out, want)
	}
}

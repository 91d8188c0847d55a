package wsserver_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
)

// An unpaired surrogate is refused in every text field, because it would be stored as different
// text.
func TestText_unpairedSurrogatesAreRefused(t *testing.T) {
	t.Parallel()
	w, ann, c := newSolo(t)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	m := say(t, a, c, "hello")
	for ref, frame := range map[string]string{
		"send":  `{"type":"send","ref":"send","channel_id":%q,"client_id":%q,"body":"a\ud800b"}`,
		"edit":  `{"type":"edit","ref":"edit","channel_id":%q,"client_id":%q,"body":"\udc00\ud800","message_id":%q}`,
		"react": `{"type":"react","ref":"react","channel_id":%q,"client_id":%q,"emoji":"\ud83d","message_id":%q}`,
	} {
		args := []any{c, chat.NewClientID(), m.ID}[:strings.Count(frame, "%q")]
		if err := a.Write(websocket.TextMessage, fmt.Appendf(nil, frame, args...)); err != nil {
			t.Fatal(err)
		}
		code, field := "invalid_body", "The field body "
		if ref == "react" {
			code, field = "bad_frame", "The field emoji "
		}
		got := a.AwaitRef(t, ref)
		wantCode(t, ref, got, code)
		if !strings.HasPrefix(got.Message, field) {
			t.Errorf("%s: %q does not name the %s", ref, got.Message, field)
		}
	}
	wantAck(t, "a whole pair", say(t, a, c, "😀 \ufffd"), 2)
}

func TestText_lineEndsAreNormalized(t *testing.T) {
	t.Parallel()
	w, ann, c := newSolo(t)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	id := chat.NewClientID()
	send := func(body string) wstest.Frame {
		ref := chat.NewClientID().String()
		a.Send(t, map[string]any{"type": "send", "ref": ref, "channel_id": c, "client_id": id, "body": body})
		return a.AwaitRef(t, ref)
	}
	first := send("one\r\ntwo\rthree")
	wantAck(t, "Windows line ends", first, 1)
	if again := send("one\ntwo\nthree"); !again.Duplicate || again.ID != first.ID {
		t.Errorf("the same text with other line ends: %s", again.Raw)
	}
	wantAck(t, "edit", edit(t, a, c, first.ID, "a\r\nb"), 2)
	a.AwaitSeq(t, c, 1, 2)
	for i, want := range []string{"one\ntwo\nthree", "a\nb"} {
		if got := a.Events(c)[i].Body; got != want {
			t.Errorf("event %d has %q, want %q", i+1, got, want)
		}
	}
	wantCode(t, "only line ends", edit(t, a, c, first.ID, "\r\n\r"), "invalid_body")
}

func TestReply_mustBeToAMessageOfTheChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("ann")
	c, other := w.channel(chat.Public, ann), w.channel(chat.Public, ann)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	m, elsewhere := say(t, a, c, "hello"), say(t, a, other, "elsewhere")
	reaction := change(t, a, "react", c, m.ID, chat.ClientID{}, map[string]any{"emoji": "👍"})
	reply := func(to chat.EventID) wstest.Frame {
		ref := chat.NewClientID().String()
		a.Send(t, map[string]any{"type": "send", "ref": ref, "channel_id": c, "client_id": chat.NewClientID(), "body": "yes", "reply_to": to})
		return a.AwaitRef(t, ref)
	}
	wantAck(t, "a reply", reply(m.ID), 3)
	for what, id := range map[string]chat.EventID{
		"to nothing": chat.NewEventID(), "to another channel's": elsewhere.ID, "to a reaction": reaction.ID, "to the zero id": {},
	} {
		got := reply(id)
		wantCode(t, what, got, "invalid_body")
		if !strings.HasPrefix(got.Message, "The field reply_to ") {
			t.Errorf("%s: %q does not name the field", what, got.Message)
		}
	}
	wantAck(t, "deletion", remove(t, a, c, m.ID), 4)
	wantAck(t, "a reply to a deleted message", reply(m.ID), 5)
	w.store(c, true)
	later, _ := w.connect(url, ann)
	a = later
	wantAck(t, "a reply to a stored message", reply(m.ID), 6)
}

func TestReact_normalizesEmojiAndHasLimits(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	m := say(t, a, c, "hello")
	react := func(emoji string, remove bool) wstest.Frame {
		return change(t, a, "react", c, m.ID, chat.ClientID{}, map[string]any{"emoji": emoji, "remove": remove})
	}
	wantAck(t, "without variation selector, with spaces", react(" ❤ ", false), 2)
	a.AwaitSeq(t, c, 1, 2)
	if got := a.Events(c)[1].Emoji; got != "❤️" {
		t.Errorf("emoji %+q, want the fully qualified form", got)
	}
	for _, text := range []string{"lol", "👍👍", "a", "1", ":+1:", "\u200b"} {
		wantCode(t, text, react(text, false), "bad_frame")
	}
	wantAck(t, "removing a text that an earlier release allowed", react("lol", true), 3)

	put := func(who person, from, to int, removed bool) {
		for i := from; i < to; i++ { // a flag consists of two regional indicator symbols
			flag := string([]rune{0x1f1e6 + rune(i/26), 0x1f1e6 + rune(i%26)})
			w.exec(`insert into message_reactions (channel_id, message_id, user_id, emoji, seq, removed, reacted_at)
				values ($1, $2, $3, $4, 1, $5, now())`, c.UUID, m.ID.UUID, who.ID.UUID, flag, removed)
		}
	}
	put(ann, 0, 18, true) // 20 with ❤️ and the text above
	wantCode(t, "the 21st of a user", react("👍", false), "conflict")
	wantAck(t, "one of the 20 again", react("❤", false), 4)
	b, _ := w.connect(url, bob)
	put(bob, 100, 149, false) // 50 with ❤️
	more := func(emoji string) wstest.Frame {
		return change(t, b, "react", c, m.ID, chat.ClientID{}, map[string]any{"emoji": emoji})
	}
	w.exec("update message_reactions set user_id = gen_random_uuid() where user_id = $1", bob.ID.UUID)
	wantCode(t, "the 51st of a message", more("👍"), "conflict")
	wantAck(t, "one of the 50", more("❤️"), 5)
}

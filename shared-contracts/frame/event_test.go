package frame_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// events has one event of every kind, and two messages: one with all fields and one with only the
// required fields.
func events() []frame.Event {
	return []frame.Event{
		{
			Type: event.Message, ChannelID: channel, Seq: 43, ID: id, ClientID: &client, SenderID: ann, SenderName: "Ann",
			Body: hostile, Mentions: []chat.UserID{bob}, ReplyTo: &other, SentAt: sentAt,
		},
		{Type: event.Message, ChannelID: channel, Seq: 1, ID: id, SenderID: ann, SenderName: "Ann", Body: "hi", Mentions: []chat.UserID{}, SentAt: sentAt},
		{
			Type: event.Edit, ChannelID: channel, Seq: 44, ID: id, ClientID: &client, MessageID: &other, SenderID: ann,
			Body: "hello!", Mentions: []chat.UserID{bob}, SentAt: sentAt,
		},
		{Type: event.Delete, ChannelID: channel, Seq: 45, ID: id, ClientID: &client, MessageID: &other, SenderID: ann, SentAt: sentAt},
		{Type: event.Reaction, ChannelID: channel, Seq: 46, ID: id, ClientID: &client, MessageID: &other, SenderID: ann, Emoji: "👍", SentAt: sentAt},
		{Type: event.Reaction, ChannelID: channel, Seq: 47, ID: id, ClientID: &client, MessageID: &other, SenderID: ann, Emoji: "👍", Remove: true, SentAt: sentAt},
		{
			Type: event.Reaction, ChannelID: channel, Seq: 54, ID: id, ClientID: &client, MessageID: &other, SenderID: ann, Emoji: "👍",
			Remove: true, RemovedBy: &bob, SentAt: sentAt,
		},
		{Type: event.MemberJoined, ChannelID: channel, Seq: 48, ID: id, SenderID: ann, UserID: &bob, Username: "bob", SentAt: sentAt},
		{Type: event.MemberLeft, ChannelID: channel, Seq: 49, ID: id, SenderID: ann, UserID: &bob, Username: "bob", SentAt: sentAt},
		{Type: event.ChannelUpdated, ChannelID: channel, Seq: 50, ID: id, SenderID: ann, Channel: json.RawMessage(`{"name":"<a>","kind":"public"}`), SentAt: sentAt},
		{Type: event.Gap, ChannelID: channel, Seq: 51, ID: id, From: 40, To: 42, SentAt: sentAt},
		{Type: event.Failed, ChannelID: channel, Seq: 52, ID: id, SentAt: sentAt},
		{Type: event.Lost, ChannelID: channel, Seq: 53, ID: id, SentAt: sentAt},
		{Type: event.Noop, ChannelID: channel, Seq: 1 << 53, ID: id, SentAt: sentAt},
	}
}

func TestEvent_golden(t *testing.T) {
	var lines [][]byte
	kinds := make(map[event.Kind]bool)
	for _, e := range events() {
		b, err := e.Encode()
		if err != nil {
			t.Fatalf("%s: %v", e.Type, err)
		}
		lines = append(lines, b)
		kinds[e.Type] = true
	}
	golden(t, "event.golden", lines)
	for _, k := range []event.Kind{"message", "edit", "delete", "reaction", "member_joined", "member_left", "channel_updated", "gap", "failed", "lost", "noop"} {
		if !kinds[k] {
			t.Errorf("no golden frame of kind %s", k)
		}
		if stored := k != "failed" && k != "lost" && k != "noop"; k.Known() != stored {
			t.Errorf("%s: Known() = %v", k, !stored)
		}
	}
}

func TestEvent_roundTrip(t *testing.T) {
	for _, e := range events() {
		before, after, err := e.EncodeAround()
		if err != nil {
			t.Fatal(err)
		}
		whole, _ := e.Encode()
		if joined := frame.Join(before, e.Seq, after); !bytes.Equal(joined, whole) {
			t.Errorf("%s: joined %s, encoded %s", e.Type, joined, whole)
		}
		if got, err := frame.DecodeEvent(whole); err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", e.Type, got, err, e)
		}
		// The append script joins the parts in Lua and must get the same result.
		if lua := string(before) + strconv.FormatInt(e.Seq, 10) + string(after); lua != string(whole) || !json.Valid(whole) {
			t.Errorf("%s: %s", e.Type, lua)
		}
	}
}

func TestEvent_listsAreNeverNull(t *testing.T) {
	e := frame.Event{Type: event.Message, ChannelID: channel, Seq: 1, ID: id, SenderID: ann, Body: "x", SentAt: sentAt}
	if b, err := e.Encode(); err != nil || !bytes.Contains(b, []byte(`"mentions":[]`)) || !bytes.Contains(b, []byte(`"reply_to":null`)) {
		t.Errorf("%s, %v", b, err)
	}
}

// TestGapParts checks the parts from which the repair script builds gap events.
func TestGapParts(t *testing.T) {
	e := frame.Event{Type: event.Gap, ChannelID: channel, Seq: 51, ID: id, From: 40, To: 42, SentAt: sentAt}
	want, err := e.Encode()
	parts := frame.GapParts(channel, id, sentAt)
	if got := fmt.Sprintf("%s51%s40%s42%s", parts[0], parts[1], parts[2], parts[3]); err != nil || got != string(want) {
		t.Errorf("got %s\nwant %s, %v", got, want, err)
	}
}

func TestEvent_refusesUnknownKinds(t *testing.T) {
	for _, kind := range []event.Kind{"", "dance", `x","y":"`} {
		e := frame.Event{Type: kind, ChannelID: channel, ID: id, SentAt: sentAt}
		if b, err := e.Encode(); err == nil {
			t.Errorf("kind %q was encoded: %s", kind, b)
		}
	}
	bad := frame.Event{Type: event.ChannelUpdated, Channel: json.RawMessage("{broken"), SentAt: sentAt}
	if b, err := bad.Encode(); err == nil {
		t.Errorf("a channel that is not valid JSON was encoded: %s", b)
	}
	for _, b := range []string{"", "{", "[]", `{"seq":"1"}`, `{"id":"x"}`} {
		if e, err := frame.DecodeEvent([]byte(b)); err == nil || !reflect.DeepEqual(e, frame.Event{}) {
			t.Errorf("DecodeEvent(%q) = %+v, %v", b, e, err)
		}
	}
}

// onOneLine checks that a frame has no newlines, because tails and topics join items with newlines,
// and that HTML is not escaped.
func onOneLine(t *testing.T, b []byte) {
	t.Helper()
	if bytes.ContainsAny(b, "\n\r") {
		t.Errorf("a frame contains a newline: %q", b)
	}
	for _, escape := range []string{`\u003c`, `\u003e`, `\u0026`} {
		if bytes.Contains(b, []byte(escape)) {
			t.Errorf("HTML is escaped: %s", b)
		}
	}
	if !json.Valid(b) {
		t.Errorf("not JSON: %q", b)
	}
}

func TestEvent_isOnOneLine(t *testing.T) {
	for _, e := range events() {
		e.Body, e.SenderName, e.Username, e.Emoji = hostile, hostile, hostile, hostile
		e.Channel = json.RawMessage("{\n  \"name\": \"<&>\",\r\n  \"n\": [\n1\n]\n}\n")
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		onOneLine(t, b)
	}
}

// FuzzEvent checks that the frame of any event is one line of JSON, and is decoded to an equal
// event.
func FuzzEvent(f *testing.F) {
	f.Add(0, int64(1), hostile, "Ann", "👍", `{"name":"x"}`, true)
	f.Add(8, int64(1), "", "", "", "{\n\"name\":\t\"<&>\u2028\"}\n", true)
	f.Fuzz(func(t *testing.T, which int, seq int64, body, name, emoji, about string, flag bool) {
		samples := events()
		e := samples[uint(which)%uint(len(samples))]
		e.Seq, e.Body, e.SenderName, e.Username, e.Emoji, e.Remove = seq, body, name, name, emoji, flag
		if e.Type == event.ChannelUpdated {
			e.Channel = json.RawMessage(about)
			if !json.Valid(e.Channel) {
				if b, err := e.Encode(); err == nil {
					t.Fatalf("%q was encoded: %s", about, b)
				}
				return
			}
		}
		if flag {
			e.ClientID, e.Mentions = nil, nil
		}
		first, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(first, "\n\r") || !json.Valid(first) {
			t.Fatalf("not one line of JSON: %q", first)
		}
		back, err := frame.DecodeEvent(first)
		if err != nil || back.Seq != seq || back.Type != e.Type || back.ID != e.ID || back.SentAt != e.SentAt {
			t.Fatalf("%s is decoded as %+v, %v", first, back, err)
		}
		// Each byte of invalid UTF-8 becomes one U+FFFD.
		if e.Type == event.Message && back.Body != string([]rune(body)) {
			t.Fatalf("body %q is decoded as %q", body, back.Body)
		}
		second, err := back.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := frame.DecodeEvent(second)
		if err != nil || !reflect.DeepEqual(again, back) {
			t.Fatalf("unstable: %s then %s, %v", first, second, err)
		}
	})
}

func BenchmarkEncodeAround(b *testing.B) {
	e := events()[0]
	e.Body = strings.Repeat("hello ", 20)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := e.EncodeAround(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	e := events()[0]
	frameOf, _ := e.Encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := frame.DecodeEvent(frameOf); err != nil {
			b.Fatal(err)
		}
	}
}

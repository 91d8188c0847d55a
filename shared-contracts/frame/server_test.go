package frame_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

func serverFrames() []frame.Server {
	summary := frame.ChannelSummary{
		ChannelID: channel, Name: "<general>", Kind: chat.Public, LastSeq: 42, LastReadSeq: 40,
		LastDeliveredSeq: 42, Unread: 2, Epoch: epoch,
	}
	return []frame.Server{
		frame.Hello{
			ConnectionID: "c-1", SessionID: session, UserID: ann, ServerTime: sentAt, HeartbeatSeconds: 25,
			Limits: frame.Limits{MaxBodyBytes: 16384, RateMessages: 20, RateSeconds: 10, RateBlockSeconds: 30}, Channels: []frame.ChannelSummary{summary},
		},
		frame.HelloMore{Channels: []frame.ChannelSummary{summary}},
		frame.Subscribed{Ref: "5", ChannelID: channel, LastSeq: 42, Epoch: epoch, Recovered: true},
		frame.Unsubscribed{Ref: "6", ChannelID: channel},
		frame.Ack{Ref: "1", ChannelID: channel, ClientID: client, ID: id, Seq: 43, SentAt: sentAt},
		frame.Ack{ChannelID: channel, ClientID: client, ID: id, Seq: 43, SentAt: sentAt, Duplicate: true},
		frame.Error{Ref: "1", Code: apierr.RateLimited, Message: "wait", RetryAfterMS: 30000},
		frame.Error{Ref: "2", Code: apierr.NotFound, Message: "no", ChannelID: &channel},
		frame.Error{Code: apierr.BadFrame, Message: "no"},
		frame.FailedEvent{ChannelID: channel, ID: id, Seq: 43, ClientID: client, Reason: "payload"},
		frame.Membership{ChannelID: channel, Change: "added", By: bob, Channel: &summary},
		frame.Membership{ChannelID: channel, Change: "removed", By: bob},
		frame.InvitationNotice{InvitationID: chat.InvitationID{UUID: channel.UUID}, Change: "added", By: bob},
		frame.GroupNotice{GroupID: chat.GroupID{UUID: channel.UUID}, Change: "updated", By: bob},
		frame.Resync{Ref: "5", ChannelID: channel, Epoch: epoch, LastSeq: 42},
		frame.TypingNotice{ChannelID: channel, UserID: ann, Typing: true},
		frame.PresenceNotice{ChannelID: channel, OnlineCount: 3, Joined: []chat.UserID{ann}, Left: []chat.UserID{bob}, Ref: "7"},
		frame.Receipt{ChannelID: channel, UserID: ann, DeliveredSeq: 43, ReadSeq: 42},
		frame.ReceiptCounts{ChannelID: channel, Seq: 43, DeliveredCount: 80, ReadCount: 12, MemberCount: 400},
		frame.Pong{Ref: "9"},
		frame.Pong{},
	}
}

func TestServer_golden(t *testing.T) {
	var lines [][]byte
	types := make(map[string]bool)
	for _, f := range serverFrames() {
		b := frame.Encode(f)
		lines = append(lines, b)
		onOneLine(t, b)
		var head struct{ Type string }
		if err := json.Unmarshal(b, &head); err != nil || !bytes.HasPrefix(b, []byte(`{"type":"`+head.Type+`"`)) {
			t.Errorf("%s: type is not first, %v", b, err)
		}
		types[head.Type] = true
	}
	golden(t, "server.golden", lines)
	for _, want := range []string{
		"hello", "hello_more", "subscribed", "unsubscribed", "ack", "error", "failed", "membership", "resync", "typing", "presence",
		"receipt", "receipt_counts", "pong", "group", "invitation",
	} {
		if !types[want] {
			t.Errorf("no golden frame of type %s", want)
		}
		delete(types, want)
	}
	if len(types) > 0 {
		t.Errorf("types that are not in websocket.md: %v", types)
	}
}

// TestServer_listsAreNeverNull checks that an empty list is encoded as [], because clients read the
// length of a list without checking for null.
func TestServer_listsAreNeverNull(t *testing.T) {
	for _, f := range []frame.Server{
		frame.Hello{}, frame.HelloMore{}, frame.PresenceNotice{}, frame.PresenceNotice{Joined: []chat.UserID{ann}},
	} {
		if b := frame.Encode(f); bytes.Contains(b, []byte("null")) {
			t.Errorf("null in %s", b)
		}
	}
}

func TestErrorOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&apierr.Error{Code: apierr.RateLimited, Message: "wait", RetryAfter: 1500 * time.Millisecond}, `{"type":"error","ref":"r","code":"rate_limited","message":"wait","retry_after_ms":1500}`},
		{apierr.Wrap(io.EOF, apierr.Unavailable, "later"), `{"type":"error","ref":"r","code":"unavailable","message":"later"}`},
		{
			apierr.InvalidField(apierr.InvalidBody, "body", apierr.Violates(apierr.FieldBlank, "must not be blank")),
			`{"type":"error","ref":"r","code":"invalid_body","message":"The field body must not be blank.","errors":[{"field":"body","code":"blank","message":"must not be blank"}]}`,
		},
		{errors.New("password=hunter2"), `{"type":"error","ref":"r","code":"internal","message":"An internal error occurred."}`},
	} {
		if got := frame.Encode(frame.ErrorOf("r", tt.err)); string(got) != tt.want {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
	}
}

func TestServer_escapesText(t *testing.T) {
	f := frame.Error{Ref: hostile, Code: apierr.BadFrame, Message: hostile}
	b := frame.Encode(f)
	onOneLine(t, b)
	var back frame.Error
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back, f) {
		t.Errorf("%s is decoded as %+v, %v", b, back, err)
	}
}

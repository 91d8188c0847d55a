package chatservice_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	chatservice "parley.chat/chat-service"
	"parley.chat/internal/platform/config"
	"parley.chat/shared-contracts/chat"
)

type ack struct {
	ChannelID chat.ChannelID `json:"channel_id"`
	ClientID  chat.ClientID  `json:"client_id"`
	ID        chat.EventID   `json:"id"`
	Seq       int64          `json:"seq"`
	Duplicate bool           `json:"duplicate"`
}

func TestMessage_send(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	messages := path(c.ID) + "/messages"
	key := chat.NewClientID()
	send := func(body string) answer {
		t.Helper()
		return w.send(request{method: "POST", path: messages, token: ann.Token, body: object{"body": body}, header: map[string]string{"Idempotency-Key": key.String()}})
	}
	var first, again ack
	send("hi <b> @bob, @nobody and @channel").into(t, 201, &first)
	if first.ClientID != key || first.ChannelID != c.ID || first.Seq != 3 || first.Duplicate {
		t.Errorf("ack = %+v", first)
	}
	send("hi <b> @bob, @nobody and @channel").into(t, 200, &again)
	if !again.Duplicate || again.ID != first.ID || again.Seq != first.Seq {
		t.Errorf("again = %+v, want %+v", again, first)
	}
	send("other").want(t, 409, "conflict")
	var free ack
	w.do("POST", messages, ann, object{"body": "no key", "reply_to": first.ID, "client_id": nil}).into(t, 201, &free)
	e := w.Events(c.ID)[2]
	if e.ID != first.ID || e.Body != "hi <b> @bob, @nobody and @channel" || e.SenderName != "ann" || e.SenderID != ann.ID ||
		fmt.Sprint(e.Mentions) != fmt.Sprint([]any{c.ID, bob.ID}) {
		t.Errorf("event = %+v", e)
	}
	if e := w.Events(c.ID)[3]; e.ReplyTo == nil || *e.ReplyTo != first.ID || e.ClientID.IsZero() || len(e.Mentions) != 0 {
		t.Errorf("event = %+v", e)
	}
	elsewhere := w.create(ann, "elsewhere", "public")
	var there ack
	w.do("POST", path(elsewhere.ID)+"/messages", ann, object{"body": "there"}).into(t, 201, &there)
	for what, id := range map[string]any{"a missing message": chat.NewEventID(), "a message of another channel": there.ID, "an event that is not a message": w.Events(c.ID)[0].ID} {
		if p := w.do("POST", messages, ann, object{"body": "x", "reply_to": id}).want(t, 422, "invalid_body"); len(p.Errors) != 1 || p.Errors[0].Field != "reply_to" {
			t.Errorf("reply to %s: %+v", what, p)
		}
	}
	crlf := chat.NewClientID()
	var unix, windows ack
	w.do("POST", messages, ann, object{"body": "a\r\nb", "client_id": crlf}).into(t, 201, &windows)
	w.do("POST", messages, ann, object{"body": "a\nb", "client_id": crlf}).into(t, 200, &unix)
	if all := w.Events(c.ID); unix.ID != windows.ID || all[len(all)-1].Body != "a\nb" {
		t.Errorf("line endings: %+v, then %+v, stored %q", windows, unix, all[len(all)-1].Body)
	}
	w.send(request{
		method: "POST", path: messages, token: ann.Token, body: object{"body": "x", "client_id": chat.NewClientID()},
		header: map[string]string{"Idempotency-Key": key.String()},
	}).want(t, 422, "invalid_request")
	for body, code := range map[string]string{
		" \n ": "invalid_body", "\u200b\ufeff": "invalid_body", "a\x00b": "invalid_body", strings.Repeat("x", 16<<10+1): "too_large", strings.Repeat("ü", 8<<10+1): "too_large",
	} {
		status := 422
		if code == "too_large" {
			status = 413
		}
		if p := w.do("POST", messages, ann, object{"body": body}).want(t, status, code); len(p.Errors) != 1 || p.Errors[0].Field != "body" {
			t.Errorf("%.10q: errors = %+v", body, p.Errors)
		}
	}
	// A retry gets the original acknowledgement even after the sender has left. A new message is
	// refused.
	w.do("POST", path(c.ID)+"/leave", ann, nil).must(t, 204)
	send("hi <b> @bob, @nobody and @channel").into(t, 200, &again)
	if again.ID != first.ID {
		t.Errorf("after leaving: %+v", again)
	}
	w.do("POST", messages, ann, object{"body": "x"}).want(t, 403, "forbidden")
}

// TestMessage_concurrentRetries checks that concurrent retries create only one message.
func TestMessage_concurrentRetries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	c := w.create(ann, "general", "public")
	w.Settled()
	key := chat.NewClientID()
	ids := make([]ack, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			a := w.do("POST", path(c.ID)+"/messages", ann, object{"body": "once", "client_id": key})
			if a.status == 200 || a.status == 201 {
				a.into(t, a.status, &ids[i])
			}
		})
	}
	wg.Wait()
	for _, got := range ids {
		if got.ID != ids[0].ID || got.Seq != 2 {
			t.Errorf("acks: %+v", ids)
			break
		}
	}
	if got := w.EventLog(c.ID); got != "1 member_joined ann, 2 message once" {
		t.Errorf("events: %s", got)
	}
}

// TestMessage_rateLimit checks that REST and the gateways share one limit, and that retries do not
// count.
func TestMessage_rateLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *chatservice.Config) {
		c.RateLimit, c.RateBlock = config.Rate{Count: 3, Per: time.Hour}, time.Minute
	})
	ann := w.signup("ann")
	c := w.create(ann, "general", "public")
	keys := []chat.ClientID{chat.NewClientID(), chat.NewClientID(), chat.NewClientID(), chat.NewClientID()}
	send := func(i int) answer {
		t.Helper()
		return w.do("POST", path(c.ID)+"/messages", ann, object{"body": "x", "client_id": keys[i]})
	}
	for i := range 3 {
		send(i).must(t, 201)
		send(i).must(t, 200)
	}
	if a := send(3); a.header.Get("Retry-After") == "" {
		t.Errorf("%d without Retry-After", a.status)
	}
	send(3).want(t, 429, "rate_limited")
	send(0).must(t, 200)
}

// TestMessage_redisHasLostWrites checks that no acknowledged seq is assigned to another message.
func TestMessage_redisHasLostWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	c := w.create(ann, "general", "public")
	w.Settled()
	var first, second ack
	for range 3 {
		w.do("POST", path(c.ID)+"/messages", ann, object{"body": "x"}).into(t, 201, &first)
	}
	w.setHead(c.ID, 2) // as after a failover to a lagging replica
	w.do("POST", path(c.ID)+"/messages", ann, object{"body": "y"}).into(t, 201, &second)
	if second.Seq <= first.Seq+1 { // the seq in between belongs to a gap event
		t.Errorf("seq %d after %d", second.Seq, first.Seq)
	}
}

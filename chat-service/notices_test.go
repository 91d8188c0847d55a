package chatservice_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/notice"
)

// nextOf reads notices until one has the given kind.
func nextOf(t *testing.T, read func() notice.Notice, kind notice.Kind) notice.Notice {
	t.Helper()
	for {
		if n := read(); n.Kind == kind {
			return n
		}
	}
}

// TestRole_changesNotifyGateways checks that every role change notifies the gateways of the member,
// whether an owner makes it or the member succeeds the last owner.
func TestRole_changesNotifyGateways(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	heard := w.notices(bob)
	at := path(c.ID) + "/members/" + bob.ID.String()
	for _, role := range []string{"admin", "member", "owner", "member"} {
		w.do("PATCH", at, ann, object{"role": role}).must(t, 200)
		if n := nextOf(t, heard, notice.RoleChanged); n.UserID != bob.ID || n.ChannelID == nil || *n.ChannelID != c.ID || *n.By != ann.ID {
			t.Errorf("notice for the role %s: %+v", role, n)
		}
	}
	w.post(path(c.ID)+"/leave", ann.Token, nil).must(t, 204)
	if n := nextOf(t, heard, notice.RoleChanged); n.UserID != bob.ID || *n.ChannelID != c.ID {
		t.Errorf("notice for the new owner: %+v", n)
	}
	w.Settled()
	events := w.Events(c.ID)
	var shown struct {
		Member struct {
			UserID chat.UserID `json:"user_id"`
			Role   string      `json:"role"`
		} `json:"member"`
	}
	last := events[len(events)-1]
	if err := json.Unmarshal(last.Channel, &shown); err != nil || last.Type != event.ChannelUpdated || shown.Member.UserID != bob.ID || shown.Member.Role != "owner" {
		t.Errorf("last event is %s %s, %v", last.Type, last.Channel, err)
	}
}

func TestContact_unblockNotifiesGateways(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	block := "/v1/contacts/" + ann.ID.String() + "/block"
	w.do("POST", block, bob, nil).must(t, 204)
	w.Settled()
	anns, bobs := w.notices(ann), w.notices(bob)
	w.do("DELETE", block, bob, nil).must(t, 204)
	for _, read := range []func() notice.Notice{anns, bobs} {
		if n := read(); n.Kind != notice.Blocked || *n.By != bob.ID {
			t.Errorf("%+v", n)
		}
	}
	w.Settled()
	w.do("DELETE", block, bob, nil).must(t, 204) // the block is already lifted, so nobody is notified
	if n := w.Count("select count(*) from outbox"); n != 0 {
		t.Errorf("%d rows in the outbox", n)
	}
}

// TestJoin_eventPrecedesFirstMessage checks that the log contains a member's join before their
// first message, no matter how soon they write.
func TestJoin_eventPrecedesFirstMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c := w.create(ann, fmt.Sprint("room ", i), "public")
			w.do("POST", path(c.ID)+"/messages", ann, object{"body": "first"}).must(t, 201)
			w.join(bob, c.ID)
			w.do("POST", path(c.ID)+"/messages", bob, object{"body": "second"}).must(t, 201)
			if got := w.EventLog(c.ID); got != "1 member_joined ann, 2 message first, 3 member_joined bob, 4 message second" {
				t.Errorf("room %d: %s", i, got)
			}
		})
	}
	wg.Wait()
}

// TestBlock_hidesReceiptsAndMentions checks that a block hides receipts, and mentions by the
// blocked user do not count.
func TestBlock_hidesReceiptsAndMentions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, cyd := w.signup("ann"), w.signup("bob"), w.signup("cyd")
	c := w.create(ann, "general", "public")
	w.join(bob, c.ID)
	w.join(cyd, c.ID)
	w.Settled()
	m := w.appendMessages(cyd, c.ID, "hello")[0]
	w.do("PUT", path(c.ID)+"/cursor", bob, object{"read_seq": m.Seq}).must(t, 200)
	w.do("POST", path(c.ID)+"/messages", bob, object{"body": "@ann and @channel"}).must(t, 201)
	w.do("POST", path(c.ID)+"/messages", cyd, object{"body": "@ann"}).must(t, 201)
	see := func(when string, receipts int, mentions int) {
		t.Helper()
		var list struct {
			Items []struct {
				UserID chat.UserID `json:"user_id"`
			} `json:"items"`
			Read int `json:"read_count"`
		}
		w.get(path(c.ID)+"/messages/"+m.ID.String()+"/receipts", ann.Token).into(t, 200, &list)
		var s struct {
			Mentions int `json:"unread_mentions"`
		}
		w.get(path(c.ID), ann.Token).into(t, 200, &s)
		if len(list.Items) != receipts || list.Read != receipts || s.Mentions != mentions {
			t.Errorf("%s: receipts %+v, %d mentions; want %d, %d", when, list, s.Mentions, receipts, mentions)
		}
	}
	see("before", 1, 2)
	w.do("POST", "/v1/contacts/"+bob.ID.String()+"/block", ann, nil).must(t, 204)
	see("blocked", 0, 1)
	var sent struct {
		Seq int64 `json:"seq"`
	}
	w.do("POST", path(c.ID)+"/messages", bob, object{"body": "@ann @cyd"}).into(t, 201, &sent)
	if e := w.Events(c.ID)[sent.Seq-1]; len(e.Mentions) != 1 || e.Mentions[0] != cyd.ID {
		t.Errorf("mentions %v", e.Mentions)
	}
	w.do("DELETE", "/v1/contacts/"+bob.ID.String()+"/block", ann, nil).must(t, 204)
	see("lifted", 1, 2)
}

package wsserver_test

import (
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-contracts/rediskey"
)

// A token is valid for minutes after its session has ended. A client that reconnects with one must
// be refused.
func TestRevokedSession_cannotReconnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("ann")
	w.channel(chat.Public, ann)
	url, _ := w.gateway()
	key := rediskey.UserRevoked(rediskey.Of(ann.ID.UUID, 16), ann.ID, ann.Session)
	if err := w.rdb.Set(t.Context(), key, "1", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if code, why := wstest.Dial(t, url+"/ws", ann.Token).AwaitClose(t); code != 4509 {
		t.Errorf("closed with %d %q, want 4509", code, why)
	}
}

// A user who leaves a channel and immediately rejoins it must be subscribed in the end, no matter
// in which order notices and events arrive.
func TestLeaveAndRejoin_staysSubscribed(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	w.notify(notice.Notice{Kind: notice.ChannelRemoved, UserID: bob.ID, ChannelID: &c})
	w.notify(notice.Notice{Kind: notice.ChannelAdded, UserID: bob.ID, ChannelID: &c})
	b.Await(t, "the removal", func(f wstest.Frame) bool { return f.Type == "membership" && f.Change == "removed" })
	w.appendEvent(frame.Event{Type: "member_left", ID: chat.NewEventID(), SentAt: chat.Now(), ChannelID: c, SenderID: bob.ID, UserID: &bob.ID, Username: "bob"})
	b.Await(t, "the rejoin", func(f wstest.Frame) bool { return f.Type == "membership" && f.Change == "added" })
	ack := a.AwaitRef(t, a.Say(t, c, "welcome back").String())
	b.Await(t, "a message", func(f wstest.Frame) bool { return f.Type == "message" && f.Seq == ack.Seq })
}

package wsserver_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/notice"
)

// hello must count exactly, even if only part of a channel is stored: the messages of others after
// the user's read position, or after the join, without deleted ones, and how many of them mention
// the user.
func TestUnread_helloCountsExactly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.person("ann"), w.person("bob"), w.person("eve")
	c := w.channel(chat.Public, ann, bob)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	acks := make([]wstest.Frame, 0, 8)
	for _, body := range []string{"1", "2 @bob", "3", "4 @channel", "5"} {
		acks = append(acks, say(t, a, c, body))
	}
	say(t, b, c, "6, my own")
	remove(t, a, c, acks[2].ID) // this is seq 7
	w.store(c, false)           // there is no watermark, but the tail is still counted
	for _, body := range []string{"8 @bob", "9", "10 @bob"} {
		acks = append(acks, say(t, a, c, body))
	}
	remove(t, a, c, acks[4].ID) // seq 11, deletes a stored message
	remove(t, a, c, acks[7].ID) // seq 12, deletes a message that is not stored
	wantAck(t, "an edit", edit(t, a, c, acks[0].ID, "@bob, you are not called"), 13)
	w.join(c, eve)
	w.exec(`update channel_members set joined_seq = 8 where user_id = $1`, eve.ID.UUID)

	check := func(what string, want map[person]string) {
		t.Helper()
		for p, want := range want {
			_, hello := w.connect(url, p)
			s := hello.Channels[0]
			if got := fmt.Sprint(s.LastSeq, s.Unread, s.UnreadMentions); got != want {
				t.Errorf("%s, %s: last, unread, mentions: %s, want %s", what, p.Name, got, want)
			}
		}
	}
	// The unread messages are 1, 2, 4, 8 and 9 for bob, 9 for eve, and bob's message for ann.
	check("in the tail", map[person]string{bob: "13 5 3", eve: "13 1 0", ann: "13 1 0"})
	// sync-service does the same when it stores the deletion.
	w.exec(`update messages set body = '' where seq = 5`)
	w.store(c, true)
	check("stored", map[person]string{bob: "13 5 3", eve: "13 1 0", ann: "13 1 0"})
	b.Send(t, cursorFrame("read", c, 4))
	awaitReceipt(t, a, bob, cursorAt(4, 4))
	check("read", map[person]string{bob: "13 2 1"})
}

// The channel summary in a membership frame has counts, too. Messages that the connection is about
// to receive are not counted in it.
func TestUnread_ofANewChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	quiet := wstest.Dial(t, url+"/ws?subscribe=none", bob.Token)
	quiet.AwaitType(t, "hello")
	c := sayTo(t, a, bob.ID, chat.ClientID{}).ChannelID
	say(t, a, c, "for @bob")
	w.notify(notice.Notice{Kind: notice.ChannelAdded, UserID: bob.ID, ChannelID: &c, By: &ann.ID})
	if s := summaryIn(t, quiet.AwaitType(t, "membership")); s.LastSeq != 2 || s.Unread != 2 || s.UnreadMentions != 1 {
		t.Errorf("without subscriptions: %+v", s)
	}
	if s := summaryIn(t, b.AwaitType(t, "membership")); s.LastSeq != 0 || s.Unread != 0 || s.UnreadMentions != 0 {
		t.Errorf("with subscriptions: %+v", s)
	}
	say(t, a, c, "more")
	b.AwaitSeq(t, c, 1, 3)
}

// cursorAt returns a cursor.
func cursorAt(delivered, read int64) receiptlog.Receipt {
	return receiptlog.Receipt{Delivered: delivered, Read: read}
}

// summaryIn returns the channel summary in a membership frame.
func summaryIn(t testing.TB, f wstest.Frame) frame.ChannelSummary {
	t.Helper()
	var m frame.Membership
	if err := json.Unmarshal(f.Raw, &m); err != nil || m.Channel == nil {
		t.Fatalf("%s: %v", f.Raw, err)
	}
	return *m.Channel
}

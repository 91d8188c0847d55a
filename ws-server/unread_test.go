package wsserver_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/notice"
)

// TestUnread_helloIsExact: of a channel part of which is stored and part is not, hello counts the messages
// of others behind the cursor, or the join, that are not deleted, and who is mentioned.
func TestUnread_helloIsExact(t *testing.T) {
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
	remove(t, a, c, acks[2].ID) // 7
	w.store(c, false)           // and there is no watermark: the tail counts all the same
	for _, body := range []string{"8 @bob", "9", "10 @bob"} {
		acks = append(acks, say(t, a, c, body))
	}
	remove(t, a, c, acks[4].ID) // 11, of one that is stored
	remove(t, a, c, acks[7].ID) // 12, of one that is not
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
	// Bob: 1, 2, 4, 8, 9. Eve: 9. Ann: bob's.
	check("in the tail", map[person]string{bob: "13 5 3", eve: "13 1 0", ann: "13 1 0"})
	w.exec(`update messages set body = '' where seq = 5`) // as sync-service does with the deletion
	w.store(c, true)
	check("stored", map[person]string{bob: "13 5 3", eve: "13 1 0", ann: "13 1 0"})
	b.Send(t, cursorFrame("read", c, 4))
	awaitReceipt(t, a, bob, cursorAt(4, 4))
	check("read", map[person]string{bob: "13 2 1"})
}

// TestUnread_newChannel: the summary that tells of a channel counts, too; where its messages follow by
// themselves, they are not counted twice.
func TestUnread_newChannel(t *testing.T) {
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

// cursorAt is a cursor.
func cursorAt(delivered, read int64) eventlog.Cursor {
	return eventlog.Cursor{Delivered: delivered, Read: read}
}

// summaryIn returns the summary that a membership frame has.
func summaryIn(t testing.TB, f wstest.Frame) frame.ChannelSummary {
	t.Helper()
	var m frame.Membership
	if err := json.Unmarshal(f.Raw, &m); err != nil || m.Channel == nil {
		t.Fatalf("%s: %v", f.Raw, err)
	}
	return *m.Channel
}

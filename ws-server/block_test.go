package wsserver_test

import (
	"fmt"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/notice"
)

// sayTo sends a message to a user and returns the answer. With a zero client id it uses a new one.
func sayTo(t testing.TB, conn *wstest.Conn, to chat.UserID, client chat.ClientID) wstest.Frame {
	t.Helper()
	if client.IsZero() {
		client = chat.NewClientID()
	}
	ref := chat.NewClientID().String()
	conn.Send(t, map[string]any{"type": "send", "ref": ref, "to_user_id": to, "client_id": client, "body": "hello"})
	return conn.AwaitRef(t, ref)
}

// block makes one person block another, as chat-service does.
func (w *world) block(who, whom person, notify bool) {
	w.t.Helper()
	w.exec(`insert into contacts (user_id, contact_id, state) values ($1, $2, 'blocked')`, who.ID.UUID, whom.ID.UUID)
	if notify {
		for _, p := range []person{who, whom} {
			w.notify(notice.Notice{Kind: notice.Blocked, UserID: p.ID, By: &who.ID})
		}
	}
}

func TestBlock_refusesWritesOnOpenConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.person("ann"), w.person("bob"), w.person("eve")
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	sent := chat.NewClientID()
	first := sayTo(t, a, bob.ID, sent)
	other := sayTo(t, a, eve.ID, chat.ClientID{})
	c := first.ChannelID
	b, _ := w.connect(url, bob) // hello contains the channel
	e := wstest.Dial(t, url+"/ws?subscribe=none", eve.Token)
	e.AwaitType(t, "hello")
	say(t, b, c, "hi")
	say(t, e, other.ChannelID, "hi") // a member without a subscription
	w.block(bob, ann, true)
	w.block(ann, eve, true)
	// A user's notices arrive in order, so once the next notice has arrived, the block has arrived,
	// too.
	for p, conn := range map[*person]*wstest.Conn{&ann: a, &bob: b, &eve: e} {
		w.notify(notice.Notice{Kind: notice.GroupChanged, UserID: p.ID, GroupID: &chat.GroupID{UUID: c.UUID}, Change: "updated"})
		conn.AwaitType(t, "group")
	}

	wantCode(t, "to the user", sayTo(t, a, bob.ID, chat.ClientID{}), "forbidden")
	wantCode(t, "to the channel", a.AwaitRef(t, a.Say(t, c, "hello?").String()), "forbidden")
	wantCode(t, "by the user who has blocked", b.AwaitRef(t, b.Say(t, c, "hello?").String()), "forbidden")
	wantCode(t, "without a subscription", e.AwaitRef(t, e.Say(t, other.ChannelID, "hello?").String()), "forbidden")
	wantCode(t, "an edit", edit(t, a, c, first.ID, "hello??"), "forbidden")
	wantCode(t, "a reaction", change(t, b, "react", c, first.ID, chat.ClientID{}, map[string]any{"emoji": "👍"}), "forbidden")
	if again := sayTo(t, a, bob.ID, sent); again.Type != "ack" || !again.Duplicate || again.Seq != first.Seq {
		t.Errorf("a retry of an accepted message: %s", again.Raw)
	}
	wantAck(t, "a deletion", remove(t, a, c, first.ID), 3)
	w.unblock(bob, ann)
	testkit.Until(t, testkit.Timeout, func() error {
		if f := a.AwaitRef(t, a.Say(t, c, "hello!").String()); f.Type != "ack" {
			return fmt.Errorf("after the block was lifted: %s", f.Raw)
		}
		return nil
	})
}

// The gateway has neither a notice nor cached data about the block.
func TestBlock_isReadBeforeTheFirstMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	one, _ := w.gateway()
	two, _ := w.gateway()
	a, _ := w.connect(one, ann)
	c := sayTo(t, a, bob.ID, chat.ClientID{}).ChannelID
	w.block(ann, bob, false)
	b, _ := w.connect(two, bob)
	wantCode(t, "the first message of a connection", b.AwaitRef(t, b.Say(t, c, "hi").String()), "forbidden")
	wantCode(t, "a message to the user", sayTo(t, b, ann.ID, chat.ClientID{}), "forbidden")
}

func TestGroup_channelIsHiddenFromOutsiders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.person("ann"), w.person("bob"), w.person("eve")
	c, group := w.channel(chat.Public, ann), chat.NewChannelID()
	w.exec(`insert into groups (id, name) values ($1, 'crew')`, group.UUID)
	w.exec(`insert into group_members (group_id, user_id) values ($1, $2), ($1, $3)`, group.UUID, ann.ID.UUID, bob.ID.UUID)
	w.exec(`update channels set group_id = $1 where id = $2`, group.UUID, c.UUID)
	url, _ := w.gateway()
	for p, want := range map[*person]string{&bob: "forbidden", &eve: "not_found"} {
		conn, _ := w.connect(url, *p)
		conn.Send(t, map[string]any{"type": "subscribe", "ref": "s", "channel_id": c})
		wantCode(t, p.Name+" subscribes", conn.AwaitRef(t, "s"), want)
		wantCode(t, p.Name+" sends", conn.AwaitRef(t, conn.Say(t, c, "hi").String()), want)
	}
}

func TestGroup_changesReachItsMembers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	c := w.channel(chat.Public, ann)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	only := wstest.Dial(t, url+"/ws/"+c.String(), ann.Token)
	only.AwaitType(t, "hello")
	group := chat.GroupID{UUID: c.UUID}
	for _, change := range []string{"added", "updated", "removed"} {
		w.notify(notice.Notice{Kind: notice.GroupChanged, UserID: ann.ID, GroupID: &group, Change: change, By: &bob.ID})
		if f := a.AwaitType(t, "group"); f.Change != change {
			t.Errorf("%s, want %s", f.Raw, change)
		}
	}
	alive(t, only)
	for _, f := range only.Frames() {
		if f.Type == "group" {
			t.Errorf("the socket of one channel got %s", f.Raw)
		}
	}
}

package channel

import (
	"context"
	"testing"

	"github.com/uptrace/bun"

	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// TestRemoveMember_successor checks who owns a channel after a member has left, and which outbox
// rows announce the change.
func TestRemoveMember_successor(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ann", "bob", "cyd", "dan")
	for name, tt := range map[string]struct {
		kind    chat.ChannelKind
		members []string // ann leaves
		want    string
		outbox  string
	}{
		"an admin succeeds an earlier member": {
			chat.Public,
			[]string{"ann owner", "bob member", "cyd admin"},
			"bob member, cyd owner", `member_left ann "ann", channel_updated cyd owner`,
		},
		"the earliest admin succeeds": {
			chat.Private,
			[]string{"dan member", "ann owner", "cyd admin", "bob admin"},
			"dan member, cyd owner, bob admin", `member_left ann "ann", channel_updated cyd owner`,
		},
		"without admins, the earliest member succeeds": {
			chat.Unlisted,
			[]string{"cyd member", "ann owner", "bob member"},
			"cyd owner, bob member", `member_left ann "ann", channel_updated cyd owner`,
		},
		"another owner stays": {chat.Public, []string{"ann owner", "bob admin", "cyd owner"}, "bob admin, cyd owner", `member_left ann "ann"`},
		"a member leaves":     {chat.Public, []string{"bob owner", "ann member"}, "bob owner", `member_left ann "ann"`},
		"the last member":     {chat.Public, []string{"ann owner"}, "", `member_left ann "ann"`},
		"not a member":        {chat.Public, []string{"bob owner"}, "bob owner", ""},
	} {
		id := f.Channel(tt.kind, name, tt.members...)
		if err := f.leave(t.Context(), id, f.Claims("ann")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := f.members(id); got != tt.want {
			t.Errorf("%s: members %s, want %s", name, got, tt.want)
		}
		if got := f.outbox(id); got != tt.outbox {
			t.Errorf("%s: outbox %s, want %s", name, got, tt.outbox)
		}
	}
}

// TestChange_lastOwnersConcurrently checks that a channel with members always has an owner, even if
// its two owners leave or become members at the same time. The first of them is stopped at the end
// of its transaction until the second waits, too.
func TestChange_lastOwnersConcurrently(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "cyd")
	ann, bob := f.User("ann"), f.User("bob")
	leave := func(id chat.ChannelID, by token.Claims) error { return f.leave(t.Context(), id, by) }
	resign := func(id chat.ChannelID, by token.Claims) error {
		_, err := f.setRole(t.Context(), id, by, by.UserID, chat.Member)
		return err
	}
	gate := f.Gate("outbox")
	for _, tt := range []struct {
		name   string
		first  func(chat.ChannelID, token.Claims) error // by ann
		second func(chat.ChannelID, token.Claims) error // by bob
		denied bool                                     // bob is the last owner and must stay
		want   string
	}{
		{"both leave", leave, leave, false, "cyd owner"},
		{"one leaves, one resigns", leave, resign, true, "bob owner, cyd member"},
		{"one resigns, one leaves", resign, leave, false, "ann owner, cyd member"},
		{"both resign", resign, resign, true, "ann member, bob owner, cyd member"},
	} {
		id := f.Channel(chat.Public, tt.name, "ann owner", "bob owner", "cyd member")
		first, second := make(chan error, 1), make(chan error, 1)
		gate.Close()
		go func() { first <- tt.first(id, ann) }()
		f.AwaitLocks(1)
		go func() { second <- tt.second(id, bob) }()
		f.AwaitLocks(2)
		gate.Open()
		if err := <-first; err != nil {
			t.Errorf("%s: the first: %v", tt.name, err)
		}
		if err := <-second; (apierr.CodeOf(err) == apierr.Conflict) != tt.denied || err != nil != tt.denied {
			t.Errorf("%s: the second: %v", tt.name, err)
		}
		if got := f.members(id); got != tt.want {
			t.Errorf("%s: members %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestLeaveGroup_onlyItsChannels checks that a user who leaves a group loses all its channels and
// no other channel, and that a deleted account leaves everything without naming the user.
func TestLeaveGroup_onlyItsChannels(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ann, bob := f.User("ann"), f.User("bob")
	group, other := f.Group("ann", "bob"), f.Group("ann", "bob")
	both := []string{"ann owner", "bob member"}
	first, second := f.ChannelIn(&group, chat.Public, "first", both...), f.ChannelIn(&group, chat.Private, "second", both...)
	without := f.ChannelIn(&group, chat.Public, "without bob", "ann owner")
	elsewhere, open := f.ChannelIn(&other, chat.Public, "first", both...), f.Channel(chat.Public, "open", both...)

	f.In(func(ctx context.Context, tx bun.Tx) error {
		return LeaveGroup(ctx, tx, group, ann.UserID, bob.UserID, "bob")
	})
	for _, id := range []chat.ChannelID{first, second} {
		if got := f.members(id) + "; " + f.outbox(id); got != `ann owner; member_left bob "bob"` {
			t.Errorf("a channel of the group: %s", got)
		}
	}
	for _, id := range []chat.ChannelID{elsewhere, open} {
		if got := f.members(id) + "; " + f.outbox(id); got != "ann owner, bob member; " {
			t.Errorf("a channel outside the group: %s", got)
		}
	}
	if got := f.outbox(without); got != "" {
		t.Errorf("a channel that the user was not in: %s", got)
	}

	f.In(func(ctx context.Context, tx bun.Tx) error { return LeaveAll(ctx, tx, bob.UserID) })
	for _, id := range []chat.ChannelID{elsewhere, open} {
		if got := f.members(id) + "; " + f.outbox(id); got != `ann owner; member_left bob ""` {
			t.Errorf("after the deletion of the account: %s", got)
		}
	}
}

// TestCloseGroup checks that exactly the channels of the group are deleted, and that each announces
// it once in its log and to its members.
func TestCloseGroup(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ann", "bob")
	group := f.Group("ann", "bob")
	inside, outside := f.ChannelIn(&group, chat.Public, "inside", "ann owner", "bob member"), f.Channel(chat.Public, "outside", "ann owner")
	for range 2 { // a deleted channel is not deleted again
		f.In(func(ctx context.Context, tx bun.Tx) error { return CloseGroup(ctx, tx, group, f.ID("ann")) })
	}
	if got := f.members(inside) + "; " + f.outbox(inside); got != "; channel_updated, channel_closed" {
		t.Errorf("the channel of the group: %s", got)
	}
	notified := f.Text("select string_agg(u.username, ', ' order by u.username) from outbox o, jsonb_array_elements_text(o.payload->'user_ids') k (id) join users u on u.id = k.id::uuid where o.kind = 'channel_closed'")
	if notified != "ann, bob" {
		t.Errorf("notified: %s, want ann, bob", notified)
	}
	if got := f.members(outside) + "; " + f.outbox(outside); got != "ann owner; " {
		t.Errorf("the other channel: %s", got)
	}
	if got := f.Text("select string_agg(name, ', ') from channels where deleted_at is not null"); got != "inside" {
		t.Errorf("deleted: %s", got)
	}
}

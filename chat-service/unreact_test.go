package chatservice_test

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// TestRemoveReactions checks that an owner can remove reactions of others, whether stored or not,
// including those of former members. Every removal is an event that names the remover.
func TestRemoveReactions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	say := w.gateway()
	owner, ann, bob := w.signup("owner"), w.signup("ann"), w.signup("bob")
	c := w.create(owner, "general", "public")
	w.join(ann, c.ID)
	w.join(bob, c.ID)
	w.Settled()
	m := say(frame.Event{Type: event.Message, ChannelID: c.ID, SenderID: ann.ID, SenderName: "ann", Body: "hi"})
	react := func(u user, emoji string) frame.Event {
		return say(frame.Event{Type: event.Reaction, ChannelID: c.ID, SenderID: u.ID, MessageID: &m.ID, Emoji: emoji})
	}
	w.persist(m)
	w.persist(react(ann, "👍")) // this reaction is stored
	react(bob, "👍")            // this one is only in the tail
	react(bob, "🎉")
	react(ann, "🍕")
	if a := w.post("/v1/channels/"+c.ID.String()+"/leave", bob.Token, nil); a.status != 204 {
		t.Fatalf("leave = %d %s", a.status, a.body)
	}
	w.Settled()

	path := "/v1/channels/" + c.ID.String() + "/messages/" + m.ID.String() + "/reactions"
	w.delete(path, ann.Token, nil).want(t, 403, "forbidden")
	remove := func(query url.Values, want int) {
		t.Helper()
		var out struct {
			Removed int
			More    bool
		}
		w.delete(path+"?"+query.Encode(), owner.Token, nil).into(t, 200, &out)
		if out.Removed != want || out.More {
			t.Errorf("%s: %+v, want %d", query.Encode(), out, want)
		}
		w.Settled()
	}
	expect := func(want string) {
		t.Helper()
		testkit.Until(t, testkit.Timeout, func() error {
			var page struct {
				Items []struct {
					Reactions []struct {
						Emoji string
						Count int
					}
				}
			}
			w.get("/v1/channels/"+c.ID.String()+"/messages", owner.Token).into(t, 200, &page)
			if got := fmt.Sprint(page.Items[0].Reactions); got != want {
				return errors.New(got + ", want " + want)
			}
			return nil
		})
	}
	expect("[{👍 2} {🎉 1} {🍕 1}]")
	remove(url.Values{"emoji": {"👍"}, "user_id": {chat.NewUserID().String()}}, 0)
	remove(url.Values{"emoji": {"👍"}, "user_id": {ann.ID.String()}}, 1)
	expect("[{👍 1} {🎉 1} {🍕 1}]")
	remove(url.Values{"user_id": {bob.ID.String()}}, 2) // bob is no longer a member
	expect("[{🍕 1}]")
	react(ann, "👍") // users may react again
	remove(url.Values{"emoji": {"👍"}}, 1)
	remove(nil, 1)
	remove(nil, 0)
	expect("[]")

	gone := slices.DeleteFunc(w.Events(c.ID), func(e frame.Event) bool { return e.Type != event.Reaction || !e.Remove })
	if len(gone) != 5 {
		t.Errorf("%d events, want 5", len(gone))
	}
	for _, e := range gone {
		if e.RemovedBy == nil || *e.RemovedBy != owner.ID || e.SenderID == owner.ID || *e.MessageID != m.ID {
			t.Errorf("event = %+v", e)
		}
	}
	w.delete("/v1/channels/"+c.ID.String()+"/messages/"+gone[0].ID.String()+"/reactions", owner.Token, nil).want(t, 404, "not_found")
}

// TestRemoveReactions_many checks that one request removes at most 100 reactions and reports that
// there are more.
func TestRemoveReactions_many(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	say := w.gateway()
	owner := w.signup("owner")
	c := w.create(owner, "general", "public")
	w.Settled()
	m := say(frame.Event{Type: event.Message, ChannelID: c.ID, SenderID: owner.ID, SenderName: "owner", Body: "hi"})
	w.persist(m)
	w.Exec(`insert into message_reactions (channel_id, message_id, user_id, emoji, seq, removed, reacted_at)
		select $1, $2, gen_random_uuid(), '👍', n, false, now() from generate_series(1, 130) n`, c.ID.String(), m.ID.String())
	for _, want := range []string{"{100 true}", "{30 false}"} {
		var out struct {
			Removed int
			More    bool
		}
		w.delete("/v1/channels/"+c.ID.String()+"/messages/"+m.ID.String()+"/reactions", owner.Token, nil).into(t, 200, &out)
		if got := fmt.Sprint(out); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		w.Settled()
	}
}

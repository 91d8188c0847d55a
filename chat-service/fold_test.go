package chatservice_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// foldFixture is a channel whose log contains every kind of change to messages.
type foldFixture struct {
	*world
	ann, bob, eve user
	channel       chat.ChannelID
	log           []frame.Event // the complete log; log[i] has seq i+1
}

func newFoldFixture(t *testing.T) *foldFixture {
	w := newWorld(t)
	a := &foldFixture{world: w, ann: w.signup("ann"), bob: w.signup("bob"), eve: w.signup("eve")}
	a.channel = w.create(a.ann, "general", "public").ID
	w.join(a.bob, a.channel)
	w.join(a.eve, a.channel)
	w.Settled()
	a.log = w.Events(a.channel)
	appendEvent := w.gateway()
	do := func(by user, e frame.Event) chat.EventID {
		e.ChannelID, e.SenderID = a.channel, by.ID
		if e.Type == event.Message {
			e.SenderName = by.Name
		}
		e = appendEvent(e)
		a.log = append(a.log, e)
		return e.ID
	}
	say := func(by user, body string) chat.EventID { return do(by, frame.Event{Type: event.Message, Body: body}) }
	change := func(by user, kind event.Kind, id chat.EventID, text string, remove bool) {
		e := frame.Event{Type: kind, MessageID: &id, Remove: remove}
		if kind == event.Edit {
			e.Body = text
		} else {
			e.Emoji = text
		}
		do(by, e)
	}
	one := say(a.ann, "one") // 4
	two := say(a.bob, "two") // 5
	change(a.ann, event.Edit, one, "one!", false)
	change(a.ann, event.Reaction, two, "👍", false)
	change(a.eve, event.Reaction, two, "👍", false)
	change(a.bob, event.Reaction, two, "🎉", false)
	change(a.ann, event.Reaction, two, "👍", true) // 10
	three := say(a.eve, "three")
	change(a.eve, event.Delete, three, "", false)
	change(a.ann, event.Edit, one, "one!!", false) // 13
	change(a.ann, event.Reaction, three, "👍", false)
	change(a.eve, event.Edit, three, "come back", false)
	say(a.ann, "four") // 16
	return a
}

// page returns the messages of a channel in their current state, in short form.
func (a *foldFixture) page(query string) string {
	a.T.Helper()
	var page struct {
		Items []struct {
			Seq       int64      `json:"seq"`
			Body      string     `json:"body"`
			EditedAt  *chat.Time `json:"edited_at"`
			DeletedAt *chat.Time `json:"deleted_at"`
			Reactions []struct {
				Emoji   string        `json:"emoji"`
				Count   int           `json:"count"`
				UserIDs []chat.UserID `json:"user_ids"`
			} `json:"reactions"`
		} `json:"items"`
	}
	a.get(path(a.channel)+"/messages?"+query, a.bob.Token).into(a.T, 200, &page)
	var parts []string
	for _, m := range page.Items {
		s := fmt.Sprintf("%d %q", m.Seq, m.Body)
		for _, e := range a.log {
			if m.EditedAt != nil && e.Type == event.Edit && e.SentAt.Equal(m.EditedAt.Time) && e.Body == m.Body {
				s += fmt.Sprint(" edited by ", e.Seq)
			}
			if m.DeletedAt != nil && e.Type == event.Delete && e.SentAt.Equal(m.DeletedAt.Time) {
				s += fmt.Sprint(" deleted by ", e.Seq)
			}
		}
		for _, r := range m.Reactions {
			s += fmt.Sprintf(" %s%d", r.Emoji, r.Count)
			for _, u := range r.UserIDs {
				s += " " + map[chat.UserID]string{a.ann.ID: "ann", a.bob.ID: "bob", a.eve.ID: "eve"}[u]
			}
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

const (
	fullHistory  = `4 "one!!" edited by 13; 5 "two" 👍1 eve 🎉1 bob; 11 "" deleted by 12; 16 "four"`
	endOfHistory = `11 "" deleted by 12; 16 "four"`
)

func (a *foldFixture) check(when string) {
	a.T.Helper()
	for query, want := range map[string]string{
		"": fullHistory, "limit=2": endOfHistory, "after_seq=10": endOfHistory,
		"before_seq=11&limit=1": `5 "two" 👍1 eve 🎉1 bob`, "around=4&limit=1": `4 "one!!" edited by 13`,
		"around=5&limit=3": `4 "one!!" edited by 13; 5 "two" 👍1 eve 🎉1 bob; 11 "" deleted by 12`,
	} {
		if got := a.page(query); got != want {
			a.T.Errorf("%s, %q:\n%s\nwant\n%s", when, query, got, want)
		}
	}
	a.checkLog(when)
}

// checkLog checks that the raw log has every seq once, in order, and no text of deleted messages.
func (a *foldFixture) checkLog(when string) {
	a.T.Helper()
	var events []frame.Event
	for next := ""; ; {
		var page struct {
			Items []json.RawMessage
			Next  *string `json:"next_cursor"`
		}
		a.get(path(a.channel)+"/events?limit=6"+next, a.bob.Token).into(a.T, 200, &page)
		for _, b := range page.Items {
			e, err := frame.DecodeEvent(b)
			if err != nil {
				a.T.Fatal(err)
			}
			events = append(events, e)
		}
		if page.Next == nil {
			break
		}
		next = "&cursor=" + *page.Next
	}
	if len(events) != len(a.log) {
		a.T.Fatalf("%s: %d events in the log, want %d", when, len(events), len(a.log))
	}
	for i, e := range events {
		want := a.log[i]
		if want.Seq == 11 || want.Seq == 15 { // a deleted message, and a later edit of it
			want.Body = ""
		}
		got, err1 := e.Encode()
		exp, err2 := want.Encode()
		if err1 != nil || err2 != nil || string(got) != string(exp) {
			a.T.Errorf("%s, event %d:\n%s\nwant\n%s", when, i+1, got, exp)
		}
	}
}

// TestHistory_folds checks that pages are the same, no matter how much of the log is stored.
func TestHistory_folds(t *testing.T) {
	t.Parallel()
	a := newFoldFixture(t)
	a.check("nothing stored")
	for i, e := range a.log {
		a.persist(e)
		a.mark(a.channel, e.Seq, false)
		a.check(fmt.Sprint("stored up to ", i+1))
	}
	a.mark(a.channel, int64(len(a.log)), true)
	a.check("tail gone")
}

// TestHistory_foldsInAnyOrder stores the events in random order, without a watermark.
func TestHistory_foldsInAnyOrder(t *testing.T) {
	t.Parallel()
	a := newFoldFixture(t)
	seed := rand.Uint64()
	for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(len(a.log)) {
		a.persist(a.log[i])
		a.check(fmt.Sprintf("seed %d, after storing %d", seed, i+1))
	}
}

// TestHistory_deletedAccount checks that the messages of a deleted account stay, without the user's
// name.
func TestHistory_deletedAccount(t *testing.T) {
	t.Parallel()
	a := newFoldFixture(t)
	a.Exec("update users set deleted_at = now() where id = $1", a.ann.ID.String())
	for _, point := range []string{"", "&as_of_seq=12"} {
		var page struct {
			Items []struct {
				SenderName    string `json:"sender_name"`
				SenderDeleted bool   `json:"sender_deleted"`
			}
		}
		a.get(path(a.channel)+"/messages?limit=3&before_seq=12"+point, a.bob.Token).into(t, 200, &page)
		if fmt.Sprint(page.Items) != "[{ true} {bob false} {eve false}]" {
			t.Errorf("senders%s: %+v", point, page.Items)
		}
	}
}

// TestHistory_lostEvents checks that events that Redis has lost are shown as tombstones even before
// tombstones are stored.
func TestHistory_lostEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	c := w.create(ann, "general", "public")
	w.Settled()
	heads, err := w.Log.Heads(t.Context(), []chat.ChannelID{c.ID})
	if err != nil {
		t.Fatal(err)
	}
	known := eventlog.Head{Seq: 4, Epoch: heads[0].Epoch}
	if _, err := w.Log.Repair(t.Context(), c.ID, heads[0], known, func(context.Context, chat.ChannelID) (int64, error) { return 0, nil }); err != nil {
		t.Fatal(err)
	}
	var page struct {
		Items []struct {
			Seq  int64
			Type string
		}
	}
	w.get(path(c.ID)+"/events", ann.Token).into(t, 200, &page)
	if got := fmt.Sprint(page.Items); got != "[{1 member_joined} {2 lost} {3 lost} {4 lost} {5 gap}]" {
		t.Errorf("events: %s", got)
	}
}

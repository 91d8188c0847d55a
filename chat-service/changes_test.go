package chatservice_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// shownChange is an item of a list of changes, or the same in the model.
type shownChange struct {
	Message shown           `json:"message"`
	Created bool            `json:"created"`
	Edited  bool            `json:"edited"`
	Deleted bool            `json:"deleted"`
	Added   []shownReaction `json:"reactions_added"`
	Removed []shownReaction `json:"reactions_removed"`
}

type changesPage struct {
	Items []shownChange `json:"items"`
	Next  *string       `json:"next_cursor"`
}

// between returns the changes between two points, as the given user may see them.
func (p *past) between(from, to int64, u user) []shownChange {
	first := map[chat.EventID]int64{}
	for _, e := range p.log {
		id := e.ID
		if e.MessageID != nil {
			id = *e.MessageID
		}
		if e.Seq > from && e.Seq <= to && first[id] == 0 {
			first[id] = e.Seq
		}
	}
	earlier := map[chat.EventID]*version{}
	for _, v := range p.at(from, u) {
		earlier[v.ID] = v
	}
	list := []shownChange{}
	for _, v := range p.at(to, u) {
		was := earlier[v.ID]
		if was == nil {
			was = &version{}
		}
		c := shownChange{
			Message: v.shown(), Created: v.Event.Seq > from,
			Edited:  v.deleted == nil && v.seq > max(from, v.Event.Seq),
			Deleted: v.deleteSeq > from && v.deleteSeq <= to,
			Added:   grouped(without(v.reactions, was.reactions)), Removed: grouped(without(was.reactions, v.reactions)),
		}
		if c.Created || c.Edited || c.Deleted || len(c.Added) > 0 || len(c.Removed) > 0 {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(x, y shownChange) int { return cmp.Compare(first[x.Message.ID], first[y.Message.ID]) })
	return list
}

// without returns the reactions in a that are not in b.
func without(a, b []frame.Event) []frame.Event {
	return slices.DeleteFunc(slices.Clone(a), func(x frame.Event) bool {
		return slices.ContainsFunc(b, func(y frame.Event) bool { return x.Emoji == y.Emoji && x.SenderID == y.SenderID })
	})
}

// changes reads all pages of a list of changes.
func (p *past) changes(from, to int64, u user, limit int) []shownChange {
	p.T.Helper()
	list := []shownChange{}
	target := fmt.Sprintf("%s/changes?from_seq=%d&to_seq=%d&limit=%d", path(p.channel), from, to, limit)
	for next := ""; ; {
		a := p.get(target+next, u.Token)
		var page changesPage
		a.into(p.T, 200, &page)
		p.wantNoDeletedText(target, a.body)
		if len(page.Items) > limit {
			p.T.Errorf("%s: %d items on a page", target, len(page.Items))
		}
		if list = append(list, page.Items...); page.Next == nil {
			return list
		}
		next = "&cursor=" + *page.Next
	}
}

// TestChanges_model compares the changes between random points of random histories with a model,
// while different parts of the history are stored.
func TestChanges_model(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	users := []user{w.signup("ann"), w.signup("bob"), w.signup("cyd"), w.signup("dan")}
	for round := range 3 {
		seed := rand.Uint64()
		p := newPast(w, users, seed, 90)
		for stored, store := range p.stages(round%2 == 0) {
			store()
			when := fmt.Sprintf("seed %d, %s stored", seed, []string{"nothing", "a part", "everything"}[stored])
			for range 12 {
				u, to := users[p.rand.IntN(len(users))], p.rand.Int64N(int64(len(p.log))+3)
				from, limit := p.rand.Int64N(to+1), []int{1, 3, 200}[p.rand.IntN(3)]
				got, want := shownJSON(t, p.changes(from, to, u, limit)), shownJSON(t, p.between(from, to, u))
				if got != want {
					t.Errorf("%s: from %d to %d of %d, %s (joined at %d), limit %d:\n%s\nwant\n%s", when, from, to, len(p.log), u.Name, p.joined[u.ID], limit, got, want)
				}
			}
		}
	}
}

// TestChanges_longLog checks that a page reads a bounded number of events, and that a message with
// changes on several pages is listed once.
func TestChanges_longLog(t *testing.T) {
	t.Parallel()
	w, ann, _, c := newPair(t)
	first, last := chat.NewEventID().String(), chat.NewEventID().String()
	for seq, id := range map[int]string{3: first, 1300: last} {
		w.Exec(`insert into messages (channel_id, seq, id, kind, sender_id, body, sent_at) values ($1, $2, $3, 'message', $4, 'hi', now())`,
			c.ID.String(), seq, id, ann.ID.String())
	}
	w.Exec(`insert into messages (channel_id, seq, id, kind, sender_id, target, data, sent_at)
		select $1, n, gen_random_uuid(), 'reaction', $2, $3, jsonb_build_object('emoji', '👍', 'remove', n % 2 = 1), now() from generate_series(4, 1299) n`,
		c.ID.String(), ann.ID.String(), first)
	w.Exec(`insert into message_reactions (channel_id, message_id, emoji, user_id, seq, removed, reacted_at) values ($1, $2, '👍', $3, 1299, true, now())`,
		c.ID.String(), first, ann.ID.String())
	w.mark(c.ID, 2, true)
	for query, want := range map[string]string{
		"from_seq=2&to_seq=1300":     "[3 +0-0] [] [1300 +0-0]", // the first reaction is removed again
		"from_seq=2&to_seq=1298":     "[3 +1-0] [] []",
		"from_seq=3&to_seq=503":      "[]",
		"from_seq=3&to_seq=504":      "[3 +1-0] []",
		"from_seq=4&to_seq=5":        "[3 +0-1]",
		"from_seq=4&to_seq=4":        "[]",
		"from_seq=1299&to_seq=99999": "[1300 +0-0]",
	} {
		got := ""
		for next := ""; ; {
			var page changesPage
			w.get(path(c.ID)+"/changes?"+query+next, ann.Token).into(t, 200, &page)
			items := ""
			for _, i := range page.Items {
				items += fmt.Sprintf("%d +%d-%d", i.Message.Seq, len(i.Added), len(i.Removed))
			}
			if got += " [" + items + "]"; page.Next == nil {
				break
			}
			next = "&cursor=" + *page.Next
		}
		if got != " "+want {
			t.Errorf("%s: %s, want %s", query, got[1:], want)
		}
	}
}

// TestChanges_parameters checks the errors for invalid parameters and cursors.
func TestChanges_parameters(t *testing.T) {
	t.Parallel()
	k := newHistoryFixture(t)
	var page changesPage
	k.get(path(k.channel.ID)+"/changes?from_seq=1&to_seq=9&limit=2", k.ann.Token).into(t, 200, &page)
	if len(page.Items) != 2 || page.Next == nil || !page.Items[1].Created || page.Items[1].Message.Body != "message 3" {
		t.Fatalf("first page: %+v", page)
	}
	for query, field := range map[string]string{
		"to_seq=1": "from_seq", "from_seq=1": "to_seq", "from_seq=2&to_seq=1": "to_seq", "from_seq=-1&to_seq=1": "from_seq", "from_seq=1&to_seq=x": "to_seq",
		"from_seq=1&to_seq=8&cursor=" + url.QueryEscape(*page.Next): "cursor", "from_seq=0&to_seq=9&cursor=" + url.QueryEscape(*page.Next): "cursor",
	} {
		p := k.get(path(k.channel.ID)+"/changes?"+query, k.ann.Token).want(t, 422, "invalid_request")
		if len(p.Errors) != 1 || p.Errors[0].Field != field {
			t.Errorf("%s: errors = %+v, want one in %s", query, p.Errors, field)
		}
	}
	k.get(path(k.channel.ID)+"/changes?from_seq=2&to_seq=1", k.signup("stranger").Token).want(t, 403, "forbidden")
}

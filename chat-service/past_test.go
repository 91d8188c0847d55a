package chatservice_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// past is a private channel with a random history, and a simple model of it. Events 1 and 2 are the
// joins of the owner and the first member. The other members join in the course of the history.
type past struct {
	*world
	rand    *rand.Rand
	users   []user // the first is the owner
	joined  map[chat.UserID]int64
	names   map[chat.UserID]string
	channel chat.ChannelID
	log     []frame.Event // the complete log; log[i] has seq i+1
}

// newPast returns a channel with at least n events, and stores none of them. No two versions of
// messages have the same text.
func newPast(w *world, users []user, seed uint64, n int) *past {
	w.T.Helper()
	p := &past{world: w, rand: rand.New(rand.NewPCG(seed, 0)), users: users, joined: map[chat.UserID]int64{}, names: map[chat.UserID]string{}}
	p.channel = w.create(users[0], fmt.Sprint("past ", seed), "private").ID
	for _, u := range users {
		p.names[u.ID] = u.Name
	}
	p.join(users[1])
	members, appendEvent := users[:2], w.gateway()
	var said []frame.Event
	for i := range n {
		if late := len(members); late < len(users) && i == n*(late-1)/len(users) {
			p.join(users[late])
			members = users[:late+1]
		}
		e := p.change(said, members, i)
		if e = appendEvent(e); e.Type == event.Message {
			said = append(said, e)
		}
	}
	p.log = w.Events(p.channel)
	for i, e := range p.log {
		if e.Seq != int64(i+1) {
			w.T.Fatalf("event %d of the log has seq %d", i+1, e.Seq)
		}
	}
	return p
}

func (p *past) join(u user) {
	p.T.Helper()
	p.post(path(p.channel)+"/members", p.users[0].Token, object{"user_id": u.ID}).must(p.T, 200)
	p.Settled()
	p.joined[u.ID] = int64(p.Count("select joined_seq from channel_members where channel_id = $1 and user_id = $2", p.channel.String(), u.ID.String()))
}

// change returns a random new event: a message or a change to one of the given messages. Deleted
// messages can still be changed, because a gateway may not know of the deletion yet.
func (p *past) change(said []frame.Event, members []user, i int) frame.Event {
	by := members[p.rand.IntN(len(members))]
	e := frame.Event{ChannelID: p.channel, SenderID: by.ID}
	kind := p.rand.IntN(10)
	if kind < 3 || len(said) == 0 {
		e.Type, e.SenderName, e.Body, e.Mentions = event.Message, by.Name, fmt.Sprintf("text %d.", i), p.mentions(members)
		if len(said) > 0 && kind == 0 {
			e.ReplyTo = &said[p.rand.IntN(len(said))].ID
		}
		return e
	}
	to := said[p.rand.IntN(len(said))]
	e.MessageID = &to.ID
	switch {
	case kind < 6:
		e.Type, e.SenderID, e.Body, e.Mentions = event.Edit, to.SenderID, fmt.Sprintf("text %d.", i), p.mentions(members)
	case kind == 6 && p.rand.IntN(2) == 0:
		e.Type, e.SenderID = event.Delete, to.SenderID
	default:
		e.Type, e.Emoji, e.Remove = event.Reaction, []string{"👍", "❤", "❤️"}[p.rand.IntN(3)], p.rand.IntN(3) == 0
	}
	return e
}

func (p *past) mentions(members []user) []chat.UserID {
	if p.rand.IntN(3) > 0 {
		return nil
	}
	return []chat.UserID{members[p.rand.IntN(len(members))].ID}
}

// storeSome stores a random part of the log: everything up to a random event, whose entry becomes
// the watermark, and each later event with the given probability. If cut is true, it also trims the
// tail up to the watermark.
func (p *past) storeSome(later float64, cut bool) {
	p.T.Helper()
	mark := 1 + p.rand.IntN(len(p.log))
	for _, at := range p.rand.Perm(len(p.log)) {
		if e := p.log[at]; e.Seq <= int64(mark) || p.rand.Float64() < later {
			p.persist(e)
		}
	}
	p.mark(p.channel, int64(mark), cut)
}

// stages returns the steps in which a test stores the log: nothing, a part of it, and everything.
// cut is as in storeSome.
func (p *past) stages(cut bool) []func() {
	return []func(){
		func() {},
		func() { p.storeSome(0.5, cut) },
		func() {
			for _, e := range p.log {
				p.persist(e)
			}
			p.mark(p.channel, int64(len(p.log)), true)
		},
	}
}

// version is a message at a point, as the model computes it.
type version struct {
	frame.Event            // with the sender, body and mentions of the version
	seq         int64      // of the event with the text
	edited      *chat.Time // nil if never edited
	deleted     *chat.Time
	deleteSeq   int64
	reactions   []frame.Event // in the order in which they were set
}

// at returns the messages at a point, as the given user may see them. It applies one event after
// the other.
func (p *past) at(n int64, u user) []*version {
	var list []*version
	byID := map[chat.EventID]*version{}
	for _, e := range p.log {
		switch {
		case e.Type == event.Message && e.Seq <= n:
			v := &version{Event: e, seq: e.Seq}
			list, byID[e.ID] = append(list, v), v
		case e.MessageID == nil || byID[*e.MessageID] == nil:
		case e.Type == event.Delete:
			if v := byID[*e.MessageID]; v.deleted == nil {
				v.deleted, v.deleteSeq = &e.SentAt, e.Seq
			}
		case e.Type == event.Edit && e.Seq <= n:
			v := byID[*e.MessageID]
			v.Body, v.Mentions, v.seq, v.edited = e.Body, e.Mentions, e.Seq, &e.SentAt
		case e.Type == event.Edit && e.Seq <= p.joined[u.ID]: // the version had been replaced when the user joined
			if v := byID[*e.MessageID]; u.ID != v.SenderID && u.ID != p.users[0].ID {
				v.Body, v.Mentions = "", nil
			}
		case e.Type == event.Reaction && e.Seq <= n:
			byID[*e.MessageID].react(e)
		}
	}
	for _, v := range list {
		if v.deleted != nil {
			v.Body, v.Mentions, v.edited, v.reactions = "", nil, nil, nil
		}
	}
	return list
}

func (v *version) react(e frame.Event) {
	if e.Emoji == "❤" {
		e.Emoji = "❤\ufe0f" // the normalized form
	}
	v.reactions = slices.DeleteFunc(v.reactions, func(r frame.Event) bool { return r.Emoji == e.Emoji && r.SenderID == e.SenderID })
	if !e.Remove {
		v.reactions = append(v.reactions, e)
	}
}

// shown is a message in a response, or the same in the model.
type shown struct {
	ID        chat.EventID    `json:"id"`
	Seq       int64           `json:"seq"`
	SenderID  chat.UserID     `json:"sender_id"`
	Body      string          `json:"body"`
	ReplyTo   *chat.EventID   `json:"reply_to"`
	Mentions  []chat.UserID   `json:"mentions"`
	EditedAt  *chat.Time      `json:"edited_at"`
	DeletedAt *chat.Time      `json:"deleted_at"`
	Reactions []shownReaction `json:"reactions"`
}

type shownReaction struct {
	Emoji   string        `json:"emoji"`
	Count   int           `json:"count"`
	UserIDs []chat.UserID `json:"user_ids"`
}

func (v *version) shown() shown {
	return shown{v.ID, v.Event.Seq, v.SenderID, v.Body, v.ReplyTo, append([]chat.UserID{}, v.Mentions...), v.edited, v.deleted, grouped(v.reactions)}
}

// grouped returns reactions by emoji, as responses contain them.
func grouped(reactions []frame.Event) []shownReaction {
	list := []shownReaction{}
	for _, r := range reactions {
		i := slices.IndexFunc(list, func(s shownReaction) bool { return s.Emoji == r.Emoji })
		if i < 0 {
			i, list = len(list), append(list, shownReaction{Emoji: r.Emoji})
		}
		list[i].Count++
		list[i].UserIDs = append(list[i].UserIDs, r.SenderID)
	}
	return list
}

func shownJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wantNoDeletedText fails the test if a response contains a text of a deleted message.
func (p *past) wantNoDeletedText(what string, body []byte) {
	p.T.Helper()
	deleted := map[chat.EventID]bool{}
	for _, e := range p.log {
		if e.Type == event.Delete {
			deleted[*e.MessageID] = true
		}
	}
	for _, e := range p.log {
		if id, ok := e.TextOf(); ok && deleted[id] && strings.Contains(string(body), `"`+e.Body+`"`) {
			p.T.Errorf("%s contains the text of event %d, whose message is deleted", what, e.Seq)
		}
	}
}

type pastPage struct {
	Items []shown `json:"items"`
	Next  *string `json:"next_cursor"`
	AsOf  *int64  `json:"as_of_seq"`
}

// check compares a page at a point with the model. query contains all parameters except the point.
func (p *past) check(when string, n int64, u user, query string, choose func([]*version) []*version) *string {
	p.T.Helper()
	target := fmt.Sprintf("%s/messages?as_of_seq=%d&%s", path(p.channel), n, query)
	what := fmt.Sprintf("%s: as of %d of %d, %s (joined at %d): %s", when, n, len(p.log), u.Name, p.joined[u.ID], query)
	a := p.get(target, u.Token)
	var page pastPage
	a.into(p.T, 200, &page)
	p.wantNoDeletedText(what, a.body)
	want := []shown{}
	for _, v := range choose(p.at(n, u)) {
		want = append(want, v.shown())
	}
	if got, want := shownJSON(p.T, page.Items), shownJSON(p.T, want); got != want {
		p.T.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
	if page.AsOf == nil || *page.AsOf != n {
		p.T.Errorf("%s: as_of_seq is %s", what, shownJSON(p.T, page.AsOf))
	}
	return page.Next
}

func newest(limit int) func([]*version) []*version {
	return func(all []*version) []*version { return all[max(0, len(all)-limit):] }
}

// TestPast_model replays random histories to random points, for members who joined at different
// points, while different parts of the history are stored. Each page must equal the model's.
func TestPast_model(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	users := []user{w.signup("ann"), w.signup("bob"), w.signup("cyd"), w.signup("dan")}
	for round := range 4 {
		seed := rand.Uint64()
		p := newPast(w, users, seed, 90)
		for stored, store := range p.stages(round%2 == 0) {
			store()
			when := fmt.Sprintf("seed %d, %s stored", seed, []string{"nothing", "a part", "everything"}[stored])
			for range 12 {
				n, u := p.rand.Int64N(int64(len(p.log))+3), users[p.rand.IntN(len(users))]
				seq := p.rand.Int64N(int64(len(p.log)) + 3)
				p.check(when, n, u, "limit=200", func(all []*version) []*version { return all })
				p.check(when, n, u, fmt.Sprint("limit=4&before_seq=", seq), func(all []*version) []*version {
					return newest(4)(slices.DeleteFunc(all, func(v *version) bool { return v.Event.Seq >= seq }))
				})
				p.check(when, n, u, fmt.Sprint("limit=4&after_seq=", seq), func(all []*version) []*version {
					all = slices.DeleteFunc(all, func(v *version) bool { return v.Event.Seq <= seq })
					return all[:min(4, len(all))]
				})
				p.check(when, n, u, fmt.Sprint("limit=1&around=", seq), func(all []*version) []*version {
					i := len(slices.DeleteFunc(slices.Clone(all), func(v *version) bool { return v.Event.Seq > seq }))
					if i == 0 {
						return all[:min(1, len(all))]
					}
					return all[i-1 : i]
				})
			}
			p.checkTimes(when)
		}
	}
}

// checkTimes requests a page at the time of each of some events. The point must be the last message
// or change to a message that was sent at or before that time.
func (p *past) checkTimes(when string) {
	p.T.Helper()
	for range 5 {
		at := p.log[p.rand.IntN(len(p.log))].SentAt
		var want int64
		for _, e := range p.log {
			if !e.SentAt.After(at.Time) && e.Type != event.MemberJoined {
				want = e.Seq
			}
		}
		var page pastPage
		p.get(path(p.channel)+"/messages?as_of="+at.String(), p.users[0].Token).into(p.T, 200, &page)
		if page.AsOf == nil || *page.AsOf != want {
			p.T.Errorf("%s: as_of_seq at %s is %s, want %d", when, at, shownJSON(p.T, page.AsOf), want)
		}
	}
}

// TestPast_cursorKeepsThePoint reads a list at a point in both directions, while new messages and
// changes arrive between its pages. It also checks which parameters may accompany a cursor.
func TestPast_cursorKeepsThePoint(t *testing.T) {
	t.Parallel()
	k := newHistoryFixture(t)
	appendEvent := k.gateway()
	list := func(query, again string, limit int) string {
		var all []string
		for next := ""; ; {
			var page struct {
				messagePage
				AsOf *int64 `json:"as_of_seq"`
			}
			q := query
			if next != "" {
				q = again + "&cursor=" + next
			}
			k.get(path(k.channel.ID)+"/messages?"+q+fmt.Sprint("&limit=", limit), k.ann.Token).into(t, 200, &page)
			if page.AsOf == nil || *page.AsOf != 12 {
				t.Errorf("%s: as_of_seq is %v, want 12", q, page.AsOf)
			}
			for _, m := range page.Items {
				if m.Body != fmt.Sprint("message ", m.Seq) {
					t.Errorf("%s: message %d is %q", q, m.Seq, m.Body)
				}
			}
			all = append(all, page.seqs())
			appendEvent(frame.Event{Type: event.Message, ChannelID: k.channel.ID, SenderID: k.ann.ID, Body: "new"})
			for i := range 11 {
				appendEvent(frame.Event{Type: event.Edit, ChannelID: k.channel.ID, SenderID: k.ann.ID, MessageID: &k.said[i].ID, Body: "edited"})
			}
			if page.Next == nil {
				return strings.Join(all, ", ")
			}
			next = *page.Next
		}
	}
	at := url.QueryEscape(k.said[10].SentAt.String()) // seq 12
	for i := 11; i < len(k.said) && k.said[i].SentAt.Equal(k.said[10].SentAt.Time); i++ {
		at = "" // another message was sent in the same millisecond
	}
	for _, tt := range []struct{ query, again, want string }{
		{"as_of_seq=12", "", "9 10 11 12, 5 6 7 8, 2 3 4"},
		{"as_of_seq=12&before_seq=9", "as_of_seq=12", "5 6 7 8, 2 3 4"},
		{"as_of_seq=12&after_seq=0", "as_of_seq=12&after_seq=0", "2 3 4 5, 6 7 8 9, 10 11 12"},
		{"as_of_seq=12&around=40", "", "9 10 11 12, 5 6 7 8, 2 3 4"},
		{"as_of=" + at, "as_of=" + at, "9 10 11 12, 5 6 7 8, 2 3 4"},
	} {
		if tt.query == "as_of=" {
			continue
		}
		if got := list(tt.query, tt.again, 4); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.query, got, tt.want)
		}
	}
	first := k.page("as_of_seq=12&limit=4")
	now := k.page("limit=4")
	for _, query := range []string{"as_of_seq=13&cursor=" + *first.Next, "as_of_seq=12&cursor=" + *now.Next, "as_of=2026-01-02T03:04:05Z&cursor=" + *now.Next} {
		p := k.get(path(k.channel.ID)+"/messages?"+query, k.ann.Token).want(t, 422, "invalid_request")
		if len(p.Errors) != 1 || p.Errors[0].Field != "cursor" {
			t.Errorf("%s: errors = %+v", query, p.Errors)
		}
	}
}

// TestPast_points checks unusual points: before the first message, after the newest event, and
// invalid ones.
func TestPast_points(t *testing.T) {
	t.Parallel()
	k := newHistoryFixture(t)
	for _, e := range k.said[:20] {
		k.store(e)
	}
	k.mark(21, true)
	future := url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339))
	for query, want := range map[string]string{
		"limit=3&as_of_seq=0": "", "limit=3&as_of_seq=1": "", "limit=3&as_of_seq=2": "2", "limit=3&as_of_seq=0&after_seq=0": "", "limit=3&as_of_seq=0&around=5": "",
		"limit=3&as_of_seq=41": "39 40 41", "limit=3&as_of_seq=9007199254740991": "39 40 41",
		"limit=3&as_of=" + future: "39 40 41", "limit=3&as_of=9999-12-31T23:59:59.999999999Z": "39 40 41",
		"limit=3&as_of=2001-02-03T04:05:06%2B07:00": "", "limit=3&as_of=0000-01-01T00:00:00Z": "",
		"limit=3&as_of_seq=30&before_seq=50": "28 29 30", "limit=3&as_of_seq=30&after_seq=28": "29 30", "limit=3&as_of_seq=30&after_seq=30": "",
		"limit=3&as_of_seq=30&around=41": "28 29 30", "limit=3&as_of_seq=30&around=1": "2 3 4",
	} {
		if got := k.page(query).seqs(); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	for query, field := range map[string]string{
		"as_of_seq=-1": "as_of_seq", "as_of_seq=x": "as_of_seq", "as_of_seq=9007199254740992": "as_of_seq", "as_of=yesterday": "as_of", "as_of=": "as_of",
		"as_of=2026-02-30T00:00:00Z": "as_of", "as_of=2026-01-02": "as_of", "as_of=2026-01-02T03:04:05": "as_of", "as_of=2026-01-02T03:04:05+02:00": "as_of",
		"as_of=2026-01-02T03:04:05Z&as_of_seq=1": "as_of", "as_of_seq=1&before_seq=1&after_seq=1": "before_seq",
	} {
		p := k.get(path(k.channel.ID)+"/messages?"+query, k.ann.Token).want(t, 422, "invalid_request")
		if len(p.Errors) != 1 || p.Errors[0].Field != field {
			t.Errorf("%s: errors = %+v, want one in %s", query, p.Errors, field)
		}
	}
	stranger := k.signup("stranger")
	for _, query := range []string{"as_of_seq=1", "as_of=2026-01-02T03:04:05Z", "as_of=2026-02-30T00:00:00Z"} {
		k.get(path(k.channel.ID)+"/messages?"+query, stranger.Token).want(t, 403, "forbidden")
	}
}

// TestPast_clocks checks that membership changes, tombstones and holes in the log do not change
// which point is found for a time. Their own times may be far from those of the events around them.
func TestPast_clocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	c := w.create(ann, "general", "public").ID
	w.Settled()
	start := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for seq := int64(2); seq <= 400; seq++ {
		e := frame.Event{Type: event.Message, ChannelID: c, Seq: seq, ID: chat.NewEventID(), SenderID: ann.ID, Body: "hi", SentAt: chat.At(start.Add(time.Duration(seq) * time.Minute))}
		switch {
		case seq > 100 && seq <= 120: // a hole
			continue
		case seq%4 == 1: // committed before the first message
			e.Type, e.UserID, e.Body, e.SentAt = event.MemberJoined, &ann.ID, "", chat.At(start.Add(-time.Hour))
		case seq%4 == 2: // noticed after the last message
			e.Type, e.Body, e.SentAt = event.Lost, "", chat.At(start.Add(1000*time.Hour))
		}
		w.persist(e)
	}
	w.mark(c, 1, true)
	for minute, want := range map[int]int64{-90: 0, -30: 0, 2: 0, 3: 3, 4: 4, 5: 4, 6: 4, 7: 7, 99: 99, 100: 100, 110: 100, 122: 100, 123: 123, 399: 399, 400: 400, 1000: 400} {
		var page pastPage
		at := start.Add(time.Duration(minute)*time.Minute + 30*time.Second)
		w.get(path(c)+"/messages?limit=1&as_of="+chat.At(at).String(), ann.Token).into(t, 200, &page)
		if page.AsOf == nil || *page.AsOf != want {
			t.Errorf("minute %d: as_of_seq is %s, want %d", minute, shownJSON(t, page.AsOf), want)
		}
		if seqs := len(page.Items); want > 0 && (seqs != 1 || page.Items[0].Seq != want) {
			t.Errorf("minute %d: %+v, want message %d", minute, page.Items, want)
		}
	}
}

// TestPast_severalEpochs checks points of a channel whose counter was repaired after Redis had lost
// events: before, among and after the lost events.
func TestPast_severalEpochs(t *testing.T) {
	t.Parallel()
	w, ann, _, c := newPair(t)
	say := func(e frame.Event) frame.Event {
		e.ChannelID, e.SenderID = c.ID, ann.ID
		return w.gateway()(e)
	}
	first := say(frame.Event{Type: event.Message, Body: "one"})
	heads, err := w.Log.Heads(t.Context(), []chat.ChannelID{c.ID})
	if err != nil {
		t.Fatal(err)
	}
	known := eventlog.Head{Seq: 6, Epoch: heads[0].Epoch}
	if _, err := w.Log.Repair(t.Context(), c.ID, heads[0], known, func(context.Context, chat.ChannelID) (int64, error) { return 0, nil }); err != nil {
		t.Fatal(err)
	}
	edit := say(frame.Event{Type: event.Edit, MessageID: &first.ID, Body: "one!"})
	last := say(frame.Event{Type: event.Message, Body: "two"})
	if first.Seq != 3 || edit.Seq != 8 || last.Seq != 9 {
		t.Fatalf("seqs %d, %d and %d; the gap event has seq 7", first.Seq, edit.Seq, last.Seq)
	}
	for _, stored := range []bool{false, true} {
		if stored {
			for _, e := range []frame.Event{first, edit, last} {
				w.persist(e)
			}
			w.mark(c.ID, last.Seq, true)
		}
		for n, want := range []string{"", "", "", "one", "one", "one", "one", "one", "one!", "one! two"} {
			var page pastPage
			w.get(fmt.Sprintf("%s/messages?as_of_seq=%d", path(c.ID), n), ann.Token).into(t, 200, &page)
			var bodies []string
			for _, m := range page.Items {
				bodies = append(bodies, m.Body)
			}
			if got := strings.Join(bodies, " "); got != want {
				t.Errorf("stored %v, as of %d: %q, want %q", stored, n, got, want)
			}
		}
	}
}

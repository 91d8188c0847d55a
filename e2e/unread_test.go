package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
)

// spoken is a message in the model of TestUnread_model.
type spoken struct {
	id      chat.EventID
	seq     int64
	by      int
	calls   []int // the mentioned users
	deleted bool
}

// counts holds the unread counts of a user.
type counts struct {
	Unread   int `json:"unread"`
	Mentions int `json:"unread_mentions"`
}

// unreadWorld is a channel and a simple counting model of it.
type unreadWorld struct {
	*world
	r        *rand.Rand
	people   []account
	channel  chat.ChannelID
	messages []spoken
	read     []int64 // by user: the seq of the read position or of the join; -1: not a member
	dead     []*instance
	heads    func(chat.ChannelID) int64
}

// TestUnread_model performs random messages, edits, deletions, reads, joins and leaves, while
// services are killed and stay down for a while. The counts in hello at both gateways, and in the
// list over REST, must equal the model's, no matter how many events are stored.
func TestUnread_model(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &unreadWorld{world: newWorld(t), r: rand.New(rand.NewPCG(seed, 1)), read: []int64{0, 0, -1}}
	w.heads = w.world.heads()
	for _, name := range []string{"ann", "bob", "eve"} {
		w.people = append(w.people, w.signup(name))
	}
	w.channel = w.people[0].createChannel("lobby", "unlisted")
	w.moves(func() { w.people[1].join(w.channel) })
	w.read[1] = w.head()
	for step := range 90 {
		w.step()
		if step%6 == 0 {
			w.check(step)
		}
	}
	w.revive()
	w.check(90)
	testkit.Until(t, testkit.Timeout, func() error {
		if rows := w.rows(w.channel); int64(len(rows)) < w.head() {
			return fmt.Errorf("%d of %d events stored", len(rows), w.head())
		}
		return nil
	})
	w.check(91)
}

// step performs one random action.
func (w *unreadWorld) step() {
	by := w.r.IntN(3)
	if w.read[by] < 0 {
		by = 0
	}
	switch w.r.IntN(12) {
	default:
		w.say(by)
	case 0, 1:
		w.change(by, "delete")
	case 2:
		w.change(by, "edit")
	case 3, 4:
		w.reads(by)
	case 5, 6:
		if len(w.dead) > 1 {
			w.revive()
		} else if victim := w.all()[w.r.IntN(5)]; !slices.Contains(w.dead, victim) {
			victim.proc.Kill(w.t)
			w.dead = append(w.dead, victim)
		}
	case 7:
		w.comeOrGo()
	}
}

// live reports whether an instance runs.
func (w *unreadWorld) live(i *instance) bool { return !slices.Contains(w.dead, i) }

// revive starts the instances that were killed.
func (w *unreadWorld) revive() {
	for _, i := range w.dead {
		i.restart()
	}
	w.dead = nil
}

// gateway returns a running gateway.
func (w *unreadWorld) gateway() *instance {
	ws := slices.DeleteFunc([]*instance{w.ws[0], w.ws[1]}, func(i *instance) bool { return !w.live(i) })
	if len(ws) == 0 {
		w.revive()
		return w.ws[0]
	}
	return ws[w.r.IntN(len(ws))]
}

// do sends a frame over a new connection and awaits the ack.
func (w *unreadWorld) do(by int, f map[string]any) wstest.Frame {
	w.t.Helper()
	conn := w.people[by].connect(w.gateway())
	defer conn.Close()
	f["ref"], f["channel_id"], f["client_id"] = "r", w.channel, chat.NewClientID()
	conn.Send(w.t, f)
	ack := conn.AwaitRef(w.t, "r")
	if ack.Type != "ack" {
		w.t.Fatalf("%v: %s", f, ack.Raw)
	}
	return ack
}

func (w *unreadWorld) say(by int) {
	m, body := spoken{by: by}, "hello"
	switch who := w.r.IntN(6); {
	case who < len(w.people):
		m.calls, body = []int{who}, "hello @"+w.people[who].Name
	case who == len(w.people):
		m.calls, body = []int{0, 1, 2}, "@channel, hello"
	}
	ack := w.do(by, map[string]any{"type": "send", "body": body})
	m.id, m.seq = ack.ID, ack.Seq
	w.messages = append(w.messages, m)
}

// change edits or deletes one of a user's messages.
func (w *unreadWorld) change(by int, kind string) {
	for i := range w.messages {
		m := &w.messages[(i*7+w.r.IntN(50))%len(w.messages)]
		if m.by != by || m.deleted {
			continue
		}
		f := map[string]any{"type": kind, "message_id": m.id}
		if kind == "edit" {
			f["body"] = "@bob, @channel: an edit calls nobody"
		}
		w.do(by, f)
		m.deleted = kind == "delete"
		return
	}
}

// reads reports a user's read position, which may be lower than before, and waits until it is
// stored.
func (w *unreadWorld) reads(by int) {
	to := 1 + w.r.Int64N(w.head())
	conn := w.people[by].connect(w.gateway())
	defer conn.Close()
	conn.Send(w.t, map[string]any{"type": "read", "channel_id": w.channel, "seq": to})
	testkit.Until(w.t, testkit.Timeout, func() error {
		if at := w.hello(by, w.gateway()).LastReadSeq; at < to {
			return fmt.Errorf("%s has read up to %d, want %d", w.people[by].Name, at, to)
		}
		return nil
	})
	w.read[by] = max(w.read[by], to)
}

// comeOrGo lets the third user join or leave the channel.
func (w *unreadWorld) comeOrGo() {
	if !w.live(w.chat) {
		return
	}
	eve := w.people[2]
	if w.read[2] >= 0 {
		w.moves(func() {
			w.call(http.MethodPost, "/v1/channels/"+w.channel.String()+"/leave", eve.Token, nil, 0, nil)
		})
		w.read[2] = -1
		return
	}
	w.moves(func() { eve.join(w.channel) })
	w.read[2] = w.head()
}

// moves performs an action whose event is appended through the outbox, and waits for the event.
func (w *unreadWorld) moves(do func()) {
	w.t.Helper()
	from := w.head()
	do()
	testkit.Until(w.t, testkit.Timeout, func() error {
		if now := w.head(); now <= from {
			return fmt.Errorf("the channel is at %d", now)
		}
		return nil
	})
}

// head returns the channel's last seq.
func (w *unreadWorld) head() int64 { return w.heads(w.channel) }

// summary returns the channel's summary in hello.
type summary struct {
	ChannelID   chat.ChannelID `json:"channel_id"`
	LastReadSeq int64          `json:"last_read_seq"`
	counts
}

func (w *unreadWorld) hello(by int, ws *instance) summary {
	w.t.Helper()
	conn := wstest.Dial(w.t, ws.wsURL()+"/ws", w.people[by].Token)
	defer conn.Close()
	for _, s := range conn.AwaitType(w.t, "hello").Channels {
		if s.ChannelID == w.channel {
			return summary{s.ChannelID, s.LastReadSeq, counts{s.Unread, s.UnreadMentions}}
		}
	}
	w.t.Fatalf("hello of %s does not have the channel", w.people[by].Name)
	return summary{}
}

// check compares the counts that each user gets with the model.
func (w *unreadWorld) check(step int) {
	w.t.Helper()
	for i, p := range w.people {
		if w.read[i] < 0 {
			continue
		}
		var want counts
		for _, m := range w.messages {
			if m.by == i || m.deleted || m.seq <= w.read[i] {
				continue
			}
			want.Unread++
			if slices.Contains(m.calls, i) {
				want.Mentions++
			}
		}
		for n, ws := range w.ws {
			if !w.live(ws) {
				continue
			}
			if got := w.hello(i, ws).counts; got != want {
				w.t.Errorf("step %d: hello of %s at gateway %d: %+v, want %+v", step, p.Name, n, got, want)
			}
		}
		if !w.live(w.chat) {
			continue
		}
		var page struct {
			Items []struct {
				ID chat.ChannelID
				counts
			}
		}
		w.call(http.MethodGet, "/v1/channels?mine=true", p.Token, nil, http.StatusOK, &page)
		if len(page.Items) != 1 || page.Items[0].counts != want {
			w.t.Errorf("step %d: the list of %s: %+v, want %+v", step, p.Name, page.Items, want)
		}
	}
	if w.t.Failed() {
		w.t.FailNow()
	}
}

package chatservice_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"parley.chat/internal/eventlog/mention"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// modelMessage is a message in the model of TestUnread_model.
type modelMessage struct {
	id       chat.EventID
	seq      int64
	by       int
	mentions map[int]bool
	deleted  bool
}

// TestUnread_model compares the unread counts with a simple model after a random sequence of sends,
// deletions, reads, joins and storing.
func TestUnread_model(t *testing.T) {
	t.Parallel()
	for range 3 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			unreadModel(t, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func unreadModel(t *testing.T, r *rand.Rand) {
	w := newWorld(t)
	users := []user{w.signup("ann"), w.signup("bob"), w.signup("eve")}
	c := w.create(users[0], "general", "public")
	w.join(users[1], c.ID)
	w.Settled()
	appendEvent := w.gateway()
	log := w.Events(c.ID)
	read := []int64{0, 0, -1} // -1: not a member yet
	read[1] = 1               // nothing before the join is unread, and join events are not messages
	var messages []modelMessage
	stored := 0
	check := func(step int) {
		t.Helper()
		for i, u := range users {
			if read[i] < 0 {
				continue
			}
			unread, mentions := 0, 0
			for _, m := range messages {
				if m.by != i && !m.deleted && m.seq > read[i] {
					unread++
					if m.mentions[i] || m.mentions[-1] {
						mentions++
					}
				}
			}
			var got struct {
				Unread   int   `json:"unread"`
				Mentions int   `json:"unread_mentions"`
				LastSeq  int64 `json:"last_seq"`
			}
			w.get(path(c.ID), u.Token).into(t, 200, &got)
			if got.Unread != unread || got.Mentions != mentions || got.LastSeq != int64(len(log)) {
				t.Fatalf("step %d, %s (read %d, stored %d of %d): %+v, want %d unread and %d mentions", step, u.Name, read[i], stored, len(log), got, unread, mentions)
			}
		}
	}
	for step := range 120 {
		switch by := r.IntN(2); r.IntN(10) {
		default: // a user sends a message
			m := modelMessage{by: by, mentions: map[int]bool{}}
			e := frame.Event{Type: event.Message, ChannelID: c.ID, SenderID: users[by].ID, SenderName: users[by].Name, Body: "hello"}
			if who := r.IntN(6); who < len(users) {
				m.mentions[who] = true
				e.Mentions = append(e.Mentions, users[who].ID)
			} else if who == 3 {
				m.mentions[-1] = true
				e.Mentions = append(e.Mentions, mention.All(c.ID))
			}
			e = appendEvent(e)
			m.id, m.seq = e.ID, e.Seq
			log, messages = append(log, e), append(messages, m)
		case 0, 1: // a message is deleted, possibly a second time
			if len(messages) > 0 {
				m := &messages[r.IntN(len(messages))]
				m.deleted = true
				log = append(log, appendEvent(frame.Event{Type: event.Delete, ChannelID: c.ID, SenderID: users[m.by].ID, MessageID: &m.id}))
			}
		case 2: // an edit, which does not change the counts
			if len(messages) > 0 {
				m := messages[r.IntN(len(messages))]
				log = append(log, appendEvent(frame.Event{Type: event.Edit, ChannelID: c.ID, SenderID: users[m.by].ID, MessageID: &m.id, Body: "hello!"}))
			}
		case 3: // a user reads, possibly less than before
			to := r.Int64N(int64(len(log))) + 1
			w.do("PUT", path(c.ID)+"/cursor", users[by], object{"read_seq": to}).must(t, 200)
			read[by] = max(read[by], to)
		case 4, 5: // more events are stored, with or without raising the watermark, with or without trimming the tail
			for end := min(len(log), stored+1+r.IntN(10)); stored < end; stored++ {
				w.persist(log[stored])
			}
			if stored > 0 && r.IntN(2) == 0 && log[stored-1].Seq > w.tailBegins(c.ID) {
				w.mark(c.ID, log[stored-1].Seq, r.IntN(2) == 0)
			}
		case 6: // a later event is stored out of order
			if i := stored + r.IntN(len(log)-stored+1); i < len(log) {
				w.persist(log[i])
			}
		case 7: // Redis loses the cursors that are already stored
			w.Exec("update channel_members set last_read_seq = greatest(last_read_seq, $1) where user_id = $2", max(read[by], 0), users[by].ID.String())
			if read[1-by] <= 0 {
				continue
			}
			w.Exec("update channel_members set last_read_seq = greatest(last_read_seq, $1) where user_id = $2", read[1-by], users[1-by].ID.String())
			w.forgetCursors(c.ID)
		case 8: // the third user joins late
			if read[2] < 0 {
				w.join(users[2], c.ID)
				w.Settled()
				read[2] = int64(len(log))
				log = append(log, w.Events(c.ID)[len(w.Events(c.ID))-1])
			}
		}
		check(step)
	}
}

// tailBegins returns the seq of the first event in a channel's tail, or a huge seq if the tail is
// empty.
func (w *world) tailBegins(channel chat.ChannelID) int64 {
	w.T.Helper()
	events := w.Events(channel)
	if len(events) == 0 {
		return 1 << 62
	}
	return events[0].Seq
}

// TestUnread_bounds checks that counts are exact up to 999 and then 1000.
func TestUnread_bounds(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	insert := func(from, to int) {
		w.Exec(`insert into messages (channel_id, seq, id, kind, sender_id, body, data, sent_at)
			select $1, n, gen_random_uuid(), 'message', $2, 'x', jsonb_build_object('mentions', jsonb_build_array($3::text)), now()
			from generate_series($4::int, $5::int) n`, c.ID.String(), ann.ID.String(), bob.ID.String(), from, to)
		w.Exec("update channel_members set joined_seq = 2 where channel_id = $1", c.ID.String())
		w.setHead(c.ID, to)
	}
	for _, tt := range []struct{ to, want int }{{1000, 998}, {1001, 999}, {1002, 1000}, {1500, 1000}} {
		insert(w.Count("select coalesce(max(seq), 2) + 1 from messages"), tt.to)
		var got struct {
			Unread   int `json:"unread"`
			Mentions int `json:"unread_mentions"`
		}
		w.get(path(c.ID), bob.Token).into(t, 200, &got)
		if got.Unread != tt.want || got.Mentions != tt.want {
			t.Errorf("up to %d: %+v, want %d", tt.to, got, tt.want)
		}
	}
}

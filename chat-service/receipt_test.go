package chatservice_test

import (
	"fmt"
	"slices"
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

type memberCursor struct {
	Delivered int64 `json:"delivered_seq"`
	Read      int64 `json:"read_seq"`
}

func TestCursor_move(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	w.appendMessages(ann, c.ID, "3", "4", "5", "6")
	move := func(body object, want memberCursor) {
		t.Helper()
		var got memberCursor
		w.do("PUT", path(c.ID)+"/cursor", bob, body).into(t, 200, &got)
		if got != want {
			t.Errorf("%v: %+v, want %+v", body, got, want)
		}
	}
	move(object{"delivered_seq": 4}, memberCursor{4, 0})
	move(object{"read_seq": 3}, memberCursor{4, 3})
	move(object{"read_seq": 5}, memberCursor{5, 5})
	move(object{"read_seq": 2, "delivered_seq": 1}, memberCursor{5, 5})
	move(object{"read_seq": 99}, memberCursor{6, 6})
	// Stored positions count if Redis has lost them, and a missing counter in Redis is recreated.
	w.Exec("update channel_members set last_delivered_seq = 6, last_read_seq = 5 where user_id = $1", bob.ID.String())
	w.forgetCursors(c.ID)
	move(object{"read_seq": 1, "delivered_seq": nil}, memberCursor{6, 5})
	if held, err := w.Receipts.Held(t.Context(), c.ID, bob.ID); err != nil || held[bob.ID].Read != 5 || held[bob.ID].Delivered != 6 {
		t.Errorf("Redis has %+v, %v: other members would see the position move backwards", held, err)
	}
	w.forgetCursors(c.ID)
	if err := w.RDB.Del(t.Context(), rediskey.Counter(rediskey.Of(c.ID.UUID, partitions), c.ID)).Err(); err != nil {
		t.Fatal(err)
	}
	move(object{"read_seq": 6}, memberCursor{6, 6})
	w.do("PUT", path(c.ID)+"/cursor", bob, object{}).want(t, 422, "invalid_request")
	w.do("PUT", path(c.ID)+"/cursor", bob, object{"read_seq": -1}).want(t, 422, "invalid_request")
}

type receipts struct {
	Seq       int64 `json:"seq"`
	Members   int   `json:"member_count"`
	Delivered int   `json:"delivered_count"`
	Read      int   `json:"read_count"`
	Items     []struct {
		UserID    chat.UserID `json:"user_id"`
		Delivered bool        `json:"delivered"`
		Read      bool        `json:"read"`
	} `json:"items"`
	Next *string `json:"next_cursor"`
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	c := w.create(ann, "general", "public")
	var others []user
	for i := range 4 {
		others = append(others, w.signup(fmt.Sprint("user-", i)))
		w.join(others[i], c.ID)
	}
	w.Settled()
	m := w.appendMessages(ann, c.ID, "hello")[0] // seq 6
	late := w.signup("late")
	w.join(late, c.ID)
	w.Settled()
	at := path(c.ID) + "/messages/" + m.ID.String() + "/receipts"
	move := func(u user, body object) {
		t.Helper()
		w.do("PUT", path(c.ID)+"/cursor", u, body).must(t, 200)
	}
	move(others[0], object{"delivered_seq": m.Seq - 1})
	move(others[1], object{"delivered_seq": m.Seq})
	move(others[2], object{"read_seq": m.Seq})
	move(late, object{"read_seq": m.Seq + 1})                                                                                // the user joined after the message
	move(ann, object{"read_seq": m.Seq})                                                                                     // the sender does not count
	w.Exec("update channel_members set last_delivered_seq = 6, last_read_seq = 6 where user_id = $1", others[3].ID.String()) // stored, but not in Redis
	check := func(when string) {
		t.Helper()
		var got receipts
		w.get(at, others[0].Token).into(t, 200, &got)
		if got.Seq != m.Seq || got.Members != 4 || got.Delivered != 3 || got.Read != 2 || len(got.Items) != 3 {
			t.Errorf("%s: %+v", when, got)
		}
		seen := map[chat.UserID]bool{}
		for next := ""; ; {
			var page receipts
			w.get(at+"?limit=2"+next, ann.Token).into(t, 200, &page)
			for _, r := range page.Items {
				seen[r.UserID] = r.Read
			}
			if page.Next == nil {
				break
			}
			next = "&cursor=" + *page.Next
		}
		if want := (map[chat.UserID]bool{others[1].ID: false, others[2].ID: true, others[3].ID: true}); fmt.Sprint(seen) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", when, seen, want)
		}
	}
	check("not stored")
	w.persist(m)
	w.mark(c.ID, m.Seq, true)
	check("stored")
	joined := w.Events(c.ID)[slices.IndexFunc(w.Events(c.ID), func(e frame.Event) bool { return e.Username == "late" })]
	for _, id := range []chat.EventID{chat.NewEventID(), joined.ID} {
		w.get(path(c.ID)+"/messages/"+id.String()+"/receipts", ann.Token).want(t, 404, "not_found")
	}
}

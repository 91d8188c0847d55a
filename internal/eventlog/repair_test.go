package eventlog

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

func TestRepair(t *testing.T) {
	t.Parallel()
	l, rdb, _ := newLog(t)
	floor := func(n int64) Floor { return func(context.Context, chat.ChannelID) (int64, error) { return n, nil } }
	for _, tt := range []struct {
		name              string
		counter           int64
		known, stored     int64
		wantSeq, from, to int64
	}{
		{"seen more", 5, 9, 0, 10, 6, 9},
		{"stored more", 5, 7, 9, 10, 6, 9},
		{"one lost", 5, 6, 0, 7, 6, 6},
		{"only the epoch is old", 5, 3, 0, 6, 5, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ch := seeded(t, l)
			p := l.Partition(ch.UUID)
			rdb.HSet(t.Context(), rediskey.Counter(p, ch), "seq", tt.counter)
			heads, err := l.Heads(t.Context(), []chat.ChannelID{ch})
			if err != nil {
				t.Fatal(err)
			}
			found := heads[0]
			const newest = int64(9_000_000_000_000) // above Redis's clock
			known := Head{Seq: tt.known, Epoch: "9000000000000-x"}
			if !found.Lost(known) {
				t.Errorf("%+v has not lost writes of %+v", found, known)
			}
			after, err := l.Repair(t.Context(), ch, found, known, floor(tt.stored))
			if err != nil || after.Seq != tt.wantSeq || after.Epoch.Number() != newest+1 {
				t.Fatalf("%+v, %v; want seq %d of a newer epoch", after, err, tt.wantSeq)
			}
			all := entries(t, l, ch)
			if len(all) != 1 || all[0].Kind != event.Gap || all[0].Seq != tt.wantSeq || all[0].Epoch != after.Epoch {
				t.Fatalf("entries %+v", all)
			}
			gap, err := frame.DecodeEvent(all[0].Payload)
			if err != nil || gap.From != tt.from || gap.To != tt.to || gap.Seq != tt.wantSeq || gap.ID != all[0].ID || gap.ChannelID != ch {
				t.Errorf("the gap is %+v, %v; want %d to %d", gap, err, tt.from, tt.to)
			}
			if again, err := gap.Encode(); err != nil || string(again) != string(all[0].Payload) {
				t.Errorf("Lua wrote %s, Go %s", all[0].Payload, again)
			}
			tail, err := l.Tail(t.Context(), ch, 5)
			if err != nil || len(tail) != 1 || string(tail[0].Frame) != string(all[0].Payload) || tail[0].Seq != tt.wantSeq || tail[0].Epoch != after.Epoch {
				t.Errorf("tail %+v, %v", tail, err)
			}
			// A repair that is based on an outdated head changes nothing.
			before := keysOf(t, rdb)
			if late, err := l.Repair(t.Context(), ch, found, known, floor(99)); err != nil || late != after {
				t.Errorf("late: %+v, %v; want %+v", late, err, after)
			}
			if !maps.Equal(keysOf(t, rdb), before) {
				t.Error("an outdated repair has written")
			}
			wantResults(t, mustCall(t, l, message(ch, chat.NewUserID(), "x")), "ok "+gapAfter(tt.wantSeq))
		})
	}
}

func gapAfter(seq int64) string { return string(frame.Join(nil, seq+1, nil)) }

func TestRepair_concurrent(t *testing.T) {
	t.Parallel()
	l, _, _ := newLog(t)
	ch := seeded(t, l)
	heads, err := l.Heads(t.Context(), []chat.ChannelID{ch})
	if err != nil {
		t.Fatal(err)
	}
	after := make([]Head, 10)
	var all sync.WaitGroup
	for i := range after {
		all.Go(func() {
			var err error
			if after[i], err = l.Repair(context.Background(), ch, heads[0], Head{Seq: int64(5 + i), Epoch: heads[0].Epoch}, empty); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, h := range after {
		if h != after[0] || !h.Epoch.NewerThan(heads[0].Epoch) {
			t.Fatalf("repairs disagree: %+v and %+v, before %+v", h, after[0], heads[0])
		}
	}
	if n := len(entries(t, l, ch)); n != 1 {
		t.Errorf("%d gap entries", n)
	}
}

// Redis refuses an append if the appender has seen a higher head than Redis has. The append
// continues after the repair.
func TestAppender_diverged(t *testing.T) {
	t.Parallel()
	l, rdb, _ := newLog(t)
	ch, other := seeded(t, l), seeded(t, l)
	heads, err := l.Heads(t.Context(), []chat.ChannelID{ch})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	known := map[chat.ChannelID]Head{ch: {Seq: 7, Epoch: heads[0].Epoch}}
	asked, let := make(chan Head), make(chan error)
	a := NewAppender(l, rdb, empty, AppenderConfig{
		Logger: quiet,
		Known:  func(c chat.ChannelID) Head { mu.Lock(); defer mu.Unlock(); return known[c] },
		Diverged: func(ctx context.Context, c chat.ChannelID, found Head) error {
			asked <- found
			if err := <-let; err != nil {
				return err
			}
			after, err := l.Repair(ctx, c, found, Head{Seq: 7, Epoch: found.Epoch}, empty)
			mu.Lock()
			defer mu.Unlock()
			known[c] = after
			return err
		},
	})
	startAppender(t, a)
	led, ann := &ledger{a: a}, chat.NewUserID()
	led.submit(message(ch, ann, "refused"))
	if found := <-asked; found != heads[0] {
		t.Errorf("found %+v, want %+v", found, heads[0])
	}
	if _, err := a.Append(t.Context(), message(other, ann, "go on"), AppendOptions{}); err != nil {
		t.Error(err)
	}
	let <- errors.New("PostgreSQL is down")
	if o := led.wait(t)[0]; apierr.CodeOf(o.err) != apierr.Unavailable {
		t.Errorf("%+v, %v; want unavailable", o.ack, o.err)
	}
	for _, body := range []string{"1", "2", "3"} {
		led.submit(message(ch, ann, body))
	}
	<-asked
	led.submit(message(ch, ann, "4"))
	let <- nil
	for i, o := range led.wait(t)[1:] { // 8 is the seq of the gap event
		if o.err != nil || o.ack.Seq != int64(9+i) {
			t.Errorf("%s: %+v, %v; want seq %d", o.e.Body, o.ack, o.err, 9+i)
		}
	}
}

package eventlog_test

import (
	"context"
	"maps"
	"sync"
	"testing"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/logtest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

func TestRepair(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	floor := func(n int64) eventlog.Floor {
		return func(context.Context, chat.ChannelID) (int64, error) { return n, nil }
	}
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
			ch := l.Seeded(t)
			p := l.Partition(ch.UUID)
			rdb.HSet(t.Context(), rediskey.Counter(p, ch), "seq", tt.counter)
			heads, err := l.Heads(t.Context(), []chat.ChannelID{ch})
			if err != nil {
				t.Fatal(err)
			}
			found := heads[0]
			const newest = int64(9_000_000_000_000) // above Redis's clock
			known := eventlog.Head{Seq: tt.known, Epoch: "9000000000000-x"}
			if !found.Lost(known) {
				t.Errorf("%+v has not lost writes of %+v", found, known)
			}
			after, err := l.Repair(t.Context(), ch, found, known, floor(tt.stored))
			if err != nil || after.Seq != tt.wantSeq || after.Epoch.Number() != newest+1 {
				t.Fatalf("%+v, %v; want seq %d of a newer epoch", after, err, tt.wantSeq)
			}
			all := l.Entries(t, ch)
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
			before := l.Keys(t)
			if late, err := l.Repair(t.Context(), ch, found, known, floor(99)); err != nil || late != after {
				t.Errorf("late: %+v, %v; want %+v", late, err, after)
			}
			if !maps.Equal(l.Keys(t), before) {
				t.Error("an outdated repair has written")
			}
			if heads, err = l.Heads(t.Context(), []chat.ChannelID{ch}); err != nil || heads[0] != after {
				t.Errorf("head %+v, %v; want %+v", heads, err, after)
			}
		})
	}
}

func TestRepair_concurrent(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	ch := l.Seeded(t)
	heads, err := l.Heads(t.Context(), []chat.ChannelID{ch})
	if err != nil {
		t.Fatal(err)
	}
	after := make([]eventlog.Head, 10)
	var all sync.WaitGroup
	for i := range after {
		all.Go(func() {
			var err error
			if after[i], err = l.Repair(context.Background(), ch, heads[0], eventlog.Head{Seq: int64(5 + i), Epoch: heads[0].Epoch}, logtest.Empty); err != nil {
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
	if n := len(l.Entries(t, ch)); n != 1 {
		t.Errorf("%d gap entries", n)
	}
}

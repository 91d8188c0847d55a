package wsserver_test

import (
	"context"
	"fmt"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
	wsserver "parley.chat/ws-server"
)

// lose removes a channel's newest n events from Redis, as a failover to a lagging replica does.
func (w *world) lose(c chat.ChannelID, n int) {
	w.t.Helper()
	ctx := context.Background()
	p := rediskey.Of(c.UUID, 16)
	entries, err := w.rdb.XRevRangeN(ctx, rediskey.Stream(p), "+", "-", int64(n)).Result()
	if err != nil || len(entries) != n {
		w.t.Fatalf("%d entries, %v", len(entries), err)
	}
	for _, e := range entries {
		if err := w.rdb.XDel(ctx, rediskey.Stream(p), e.ID).Err(); err != nil {
			w.t.Fatal(err)
		}
		idem := rediskey.Idempotency(p, c, must(chat.ParseUserID(e.Values["sender_id"].(string))), must(chat.ParseClientID(e.Values["client_id"].(string))))
		if err := w.rdb.Del(ctx, idem).Err(); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.rdb.RPopCount(ctx, rediskey.Tail(p, c), n).Err(); err != nil {
		w.t.Fatal(err)
	}
	if err := w.rdb.HIncrBy(ctx, rediskey.Counter(p, c), "seq", int64(-n)).Err(); err != nil {
		w.t.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestRedis_losesItsNewestWrites(t *testing.T) {
	t.Parallel()
	for name, trigger := range map[string]func(t *testing.T, a *wstest.Conn, c chat.ChannelID){
		"found by a send": func(t *testing.T, a *wstest.Conn, c chat.ChannelID) {
			if ack := a.AwaitRef(t, a.Say(t, c, "after the loss").String()); ack.Seq != 12 {
				t.Errorf("the seq must be above those that were seen and the gap event: %s", ack.Raw)
			}
		},
		"found by a check of the counter": func(*testing.T, *wstest.Conn, chat.ChannelID) {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ann, bob := w.person("ann"), w.person("bob")
			c := w.channel(chat.Public, ann, bob)
			one, _ := w.gateway()
			two, _ := w.gateway()
			a, hello := w.connect(one, ann)
			b, _ := w.connect(two, bob)
			for i := range 10 {
				a.Say(t, c, body(i))
			}
			a.AwaitSeq(t, c, 1, 10)
			b.AwaitSeq(t, c, 1, 10)
			w.lose(c, 3)
			trigger(t, a, c)
			for _, conn := range []*wstest.Conn{a, b} {
				f := conn.AwaitType(t, "resync")
				if f.ChannelID != c || f.Epoch == hello.Channels[0].Epoch || f.LastSeq < 10 {
					t.Errorf("resync: %s", f.Raw)
				}
			}
			ack := a.AwaitRef(t, a.Say(t, c, "on we go").String())
			if ack.Seq < 12 {
				t.Errorf("a seq was assigned twice: %s", ack.Raw)
			}
			b.Await(t, "the next message", func(f wstest.Frame) bool { return f.Type == "message" && f.Body == "on we go" })

			// A client that connects later sees every seq once, with tombstones for the lost ones.
			late := w.resume(two, bob, c, 0)
			late.AwaitSeq(t, c, 1, ack.Seq)
			for _, e := range late.Events(c) {
				want := map[bool]string{true: "lost", false: "message"}[e.Seq >= 8 && e.Seq <= 10]
				if e.Seq == 11 {
					want = "gap"
				}
				if e.Type != want {
					t.Errorf("seq %d is a %s, want %s", e.Seq, e.Type, want)
				}
			}
			stale := wstest.Dial(t, two+"/ws?subscribe=none", bob.Token)
			stale.AwaitType(t, "hello")
			stale.Send(t, map[string]any{"type": "subscribe", "ref": "s", "channel_id": c, "last_seen_seq": 9, "epoch": hello.Channels[0].Epoch})
			if f := stale.AwaitRef(t, "s"); f.Type != "resync" {
				t.Errorf("resume with the old epoch: %s", f.Raw)
			}
		})
	}
}

func TestRedis_losesEverything(t *testing.T) {
	t.Parallel()
	w, ann, c := newSolo(t)
	url, _ := w.gateway()
	a, hello := w.connect(url, ann)
	for i := range 5 {
		a.Say(t, c, body(i))
	}
	a.AwaitSeq(t, c, 1, 5)
	if err := w.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	ack := a.AwaitRef(t, a.Say(t, c, "after the flush").String())
	if ack.Type != "ack" || ack.Seq <= 5 {
		t.Fatalf("%s", ack.Raw)
	}
	if f := a.AwaitType(t, "resync"); f.Epoch == hello.Channels[0].Epoch {
		t.Errorf("resync: %s", f.Raw)
	}
	a.Await(t, "the new event", func(f wstest.Frame) bool { return f.Type == "message" && f.Seq == ack.Seq })
}

func TestOverloaded_atTheBacklogBudget(t *testing.T) {
	t.Parallel()
	w, ann, c := newSolo(t)
	url, _ := w.gateway(func(cfg *wsserver.Config) { cfg.BacklogBudget = 16 * 10 })
	a, _ := w.connect(url, ann)
	var refused wstest.Frame
	// In this test no entries are stored, and the budget is checked every second.
	testkit.Until(t, testkit.Timeout, func() error {
		if refused = a.AwaitRef(t, a.Say(t, c, "more").String()); refused.Code != "overloaded" {
			return fmt.Errorf("%s", refused.Raw)
		}
		return nil
	})
	if refused.RetryAfterMS == 0 || refused.Message != "The server accepts no more messages at the moment. Please try again." {
		t.Errorf("%s", refused.Raw)
	}
	p := rediskey.Of(c.UUID, 16)
	info, err := w.rdb.XInfoStream(t.Context(), rediskey.Stream(p)).Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.rdb.HSet(t.Context(), rediskey.Stored(p), "entry", info.LastGeneratedID, "added", info.EntriesAdded).Err(); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if f := a.AwaitRef(t, a.Say(t, c, "again").String()); f.Type != "ack" {
			return fmt.Errorf("%s", f.Raw)
		}
		return nil
	})
}

func TestRedisDown_sendsFailAndRetriesSucceed(t *testing.T) {
	t.Parallel()
	w, ann, c := newSolo(t)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	a.AwaitRef(t, a.Say(t, c, "before").String())
	w.redis.Kill(t)
	id := a.Say(t, c, "during the outage")
	if f := a.AwaitRef(t, id.String()); f.Code != "unavailable" {
		t.Fatalf("%s", f.Raw)
	}
	w.redis.Start(t)
	var ack wstest.Frame
	testkit.Until(t, testkit.Timeout, func() error {
		a.Send(t, map[string]any{"type": "send", "ref": "retry", "channel_id": c, "client_id": id, "body": "during the outage"})
		if ack = a.AwaitRef(t, "retry"); ack.Type != "ack" {
			return fmt.Errorf("%s", ack.Raw)
		}
		return nil
	})
	a.AwaitSeq(t, c, 1, ack.Seq)
	if ack.Seq != 2 {
		t.Errorf("%s", ack.Raw)
	}
}

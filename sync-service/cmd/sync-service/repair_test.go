package main

import (
	"fmt"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

// TestRepair damages a consumer group's count of entries read, as a failover does, and deletes rows
// and a tail. A dry run must report the damage without changing anything, and the command must
// repair it.
func TestRepair(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	w.say(c, 10, nil)
	w.serve()
	w.stored(c, 10)
	var r struct {
		Groups []struct {
			Stream      string
			Read, Right int64
		}
		Counters []struct{ From, To int64 }
		Holes    []struct{ Found, Lost int64 }
		Lost     int64
		Problems []struct{ Kind string }
	}
	w.must(0, &r, "repair", "--dry-run")
	if len(r.Groups)+len(r.Counters)+len(r.Holes)+len(r.Problems) != 0 {
		t.Fatalf("a healthy system: %+v", r)
	}
	stream := rediskey.Stream(p(c))
	testkit.Until(t, testkit.Timeout, func() error {
		if g := w.RDB.XInfoGroups(t.Context(), stream).Val(); len(g) != 1 || g[0].Pending > 0 {
			return fmt.Errorf("the group: %+v", g)
		}
		return nil
	})
	w.stop() // a running sync-service would repair the group by itself

	last := w.RDB.XInfoStream(t.Context(), stream).Val().LastGeneratedID
	w.RDB.Do(t.Context(), "xgroup", "setid", stream, rediskey.ConsumerGroup, last, "entriesread", 4)
	w.RDB.XTrimMaxLen(t.Context(), stream, 0)
	w.RDB.Del(t.Context(), rediskey.Tail(p(c), c))
	w.Exec(`delete from messages where seq in (3, 4)`)
	w.must(1, &r, "repair", "--dry-run")
	if len(r.Groups) != 1 || r.Groups[0].Read != 4 || r.Groups[0].Right != 10 || len(r.Holes) != 1 || r.Holes[0].Lost != 2 {
		t.Errorf("the dry run: %+v", r)
	}
	if g := w.RDB.XInfoGroups(t.Context(), stream).Val(); g[0].EntriesRead != 4 || len(w.kinds(c)) != 8 {
		t.Errorf("the dry run has changed something: %+v, %v", g, w.kinds(c))
	}
	w.must(0, &r, "repair")
	if g := w.RDB.XInfoGroups(t.Context(), stream).Val(); g[0].EntriesRead != 10 || r.Lost != 2 || len(w.kinds(c)) != 10 || w.kinds(c)[2] != "lost" {
		t.Errorf("repaired: %+v; the group %+v, rows %v", r, g, w.kinds(c))
	}
	w.must(0, &r, "repair", "--dry-run")

	w.serve() // the service stores the gap event that raising the counter has appended
	counter := rediskey.Counter(p(c), c)
	w.RDB.HSet(t.Context(), counter, "seq", 5)
	w.must(1, &r, "repair", "--dry-run")
	if seq := w.RDB.HGet(t.Context(), counter, "seq").Val(); len(r.Counters) != 1 || r.Counters[0].From != 5 || r.Counters[0].To != 11 || seq != "5" {
		t.Errorf("the dry run: %+v; the counter is %s", r, seq)
	}
	w.must(0, &r, "repair")
	if seq := w.RDB.HGet(t.Context(), counter, "seq").Val(); seq != "11" {
		t.Errorf("the counter is %s, want 11", seq)
	}
	w.stored(c, 11)
	w.must(0, &r, "repair", "--dry-run")
}

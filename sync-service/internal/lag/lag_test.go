package lag_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/lag"
	"parley.chat/sync-service/internal/streamtest"
)

func TestRead(t *testing.T) {
	t.Parallel()
	s := streamtest.OpenStreams(t)
	rdb, ctx := s.RDB, t.Context()
	add := func(p int, id string) {
		t.Helper()
		s.AddAt(rediskey.Stream(p), id, []any{"a", "b"})
	}
	for _, id := range []string{"1000-0", "2000-0", "3000-0"} {
		add(1, id) // the group does not exist yet
		add(2, id)
		add(3, id)
	}
	for _, p := range []int{2, 3} {
		s.CreateGroup(rediskey.Stream(p))
		s.Deliver(rediskey.Stream(p), "a", 2)
	}
	s.Ack(rediskey.Stream(2), "1000-0")
	rdb.XDel(ctx, rediskey.Stream(3), "3000-0") // after an entry was deleted, Redis may be unable to compute the lag
	s.AddAt(rediskey.Receipts(1), "1000-0", []any{"a", "b"})
	states, err := lag.Read(ctx, rdb, 4)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range []struct {
		length, lag, pending int64
		oldest               string
		behind, group        bool
	}{
		{},
		{length: 3, lag: 3, behind: true},
		{length: 3, lag: 1, pending: 1, oldest: "2000-0", behind: true, group: true},
		{length: 2, lag: 0, pending: 2, oldest: "1000-0", behind: true, group: true},
	} {
		state := states[p]
		oldest := ""
		if state.OldestPending != nil {
			oldest = *state.OldestPending
		}
		if state.Lag == nil || state.Length != want.length || *state.Lag != want.lag || state.Pending != want.pending || oldest != want.oldest ||
			state.LagSeconds > 0 != want.behind || state.Group != want.group {
			t.Errorf("partition %d: %+v (oldest %q), want %+v", p, state, oldest, want)
		}
	}
	if r := states[1].Receipts; r.Length != 1 || *r.Lag != 1 || r.LagSeconds == 0 || r.Group {
		t.Errorf("receipts of partition 1: %+v", r)
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(lag.NewCollector(rdb, 4))
	families, err := reg.Gather()
	if err != nil || len(families) != 9 {
		t.Errorf("%d families, %v; want 9", len(families), err)
	}
}

// TestMemory checks that the share of maxmemory is measured only if a maxmemory is set.
func TestMemory(t *testing.T) {
	t.Parallel()
	rdb, ctx := streamtest.OpenStreams(t).RDB, t.Context()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(lag.NewCollector(rdb, 1))
	exported := func() []float64 {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var values []float64
		for _, f := range families {
			if f.GetName() == "parley_sync_redis_memory_ratio" {
				values = append(values, f.GetMetric()[0].GetGauge().GetValue())
			}
		}
		return values
	}
	if got := exported(); got != nil {
		t.Errorf("without maxmemory, the share is %v, want none", got)
	}
	info, err := rdb.InfoMap(ctx, "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	used, err := strconv.ParseInt(info["Memory"]["used_memory"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := rdb.ConfigSet(ctx, "maxmemory", fmt.Sprint(4*used)).Err(); err != nil {
		t.Fatal(err)
	}
	// The use of memory varies by far less than half.
	if got := exported(); len(got) != 1 || got[0] < 0.125 || got[0] > 0.5 {
		t.Errorf("the share is %v, want about 0.25", got)
	}
}

// TestRead_afterAFailover checks that Read corrects the lag that Redis reports, which is too high
// after a failover because Redis's count of entries read is outdated.
func TestRead_afterAFailover(t *testing.T) {
	t.Parallel()
	s := streamtest.OpenStreams(t)
	rdb, ctx := s.RDB, t.Context()
	for p, delivered := range []int{5, 4} {
		for i := range 5 {
			s.AddAt(rediskey.Stream(p), fmt.Sprintf("%d-0", i+1), []any{"a", "b"})
		}
		s.CreateGroup(rediskey.Stream(p))
		if err := rdb.Do(ctx, "xgroup", "setid", rediskey.Stream(p), rediskey.ConsumerGroup, fmt.Sprintf("%d-0", delivered), "entriesread", 1).Err(); err != nil {
			t.Fatal(err)
		}
		rdb.HSet(ctx, rediskey.Stored(p), "entry", fmt.Sprintf("%d-0", delivered), "added", delivered)
	}
	states, err := lag.Read(ctx, rdb, 2)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range []int64{0, 1} {
		if got := states[p].Lag; got == nil || *got != want {
			t.Errorf("partition %d: lag %v, want %d", p, got, want)
		}
	}
}

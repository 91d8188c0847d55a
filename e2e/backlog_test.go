package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

// smallBudget is a BACKLOG_BUDGET that is exceeded if the count of waiting entries is too high by
// staleBy.
const (
	smallBudget = 500
	staleBy     = 1500
)

// TestBacklog_failover promotes a replica under load. The replica was attached after the consumer
// group had read entries. Redis does not replicate how many entries the group has read, so the new
// master counts stored entries as waiting. The test checks that no send is refused because of this,
// and that no entries are reported as waiting.
func TestBacklog_failover(t *testing.T) {
	t.Parallel()
	old, next := redistest.NewServer(t), redistest.NewServer(t)
	gate := redistest.NewSwitch(t, old.Addr())
	w := newWorldOn(t, nil, func(string) map[string]string {
		return map[string]string{"REDIS_URL": "redis://" + gate.Addr(), "BACKLOG_BUDGET": fmt.Sprint(smallBudget)}
	})
	ann := w.signup("ann")
	channel := ann.createChannel("harbour", "public")
	conn := ann.connect(w.ws[0])
	sayMany(t, conn, channel, 100)
	w.awaitRows(channel, 100)
	host, port, _ := strings.Cut(old.Addr(), ":")
	if err := next.Client(t).Do(t.Context(), "replicaof", host, port).Err(); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, testkit.Timeout, func() error { return linkedTo(t, next.Client(t)) })
	for n := 100; n < 100+staleBy; n += 100 {
		sayMany(t, conn, channel, 100)
		w.awaitRows(channel, n+100)
	}
	testkit.Until(t, testkit.Timeout, func() error { return sameEnd(t, old.Client(t), next.Client(t), channel) })
	if lag := groupOf(t, next.Client(t), channel).Lag; lag < staleBy {
		t.Fatalf("the replica shows a lag of %d: it knows how much the group has read, so the test shows nothing", lag)
	}
	if err := next.Client(t).Do(t.Context(), "replicaof", "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	gate.Lead(next.Addr())
	sayUntilTaken(t, conn, channel) // while connections break
	old.Kill(t)
	w.afterBacklog(next.Client(t), conn, channel)
}

// TestBacklog_rewrittenLog restarts Redis from a rewritten append-only file. That file records how
// many entries the group had read when the file was rewritten, but not those that it read later.
func TestBacklog_rewrittenLog(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, map[string]string{"BACKLOG_BUDGET": fmt.Sprint(smallBudget)})
	rdb := w.redis.Client(t)
	ann := w.signup("ann")
	channel := ann.createChannel("harbour", "public")
	conn := ann.connect(w.ws[0])
	sayMany(t, conn, channel, 100)
	w.awaitRows(channel, 100)
	if err := rdb.BgRewriteAOF(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		info, err := rdb.Info(t.Context(), "persistence").Result()
		if err == nil && (!strings.Contains(info, "aof_rewrite_in_progress:0") || !strings.Contains(info, "aof_rewrite_scheduled:0")) {
			err = fmt.Errorf("the file is being rewritten")
		}
		return err
	})
	for n := 100; n < 100+staleBy; n += 100 {
		sayMany(t, conn, channel, 100)
		w.awaitRows(channel, n+100)
	}
	w.redis.Kill(t)
	w.redis.Start(t)
	sayUntilTaken(t, conn, channel)
	w.afterBacklog(rdb, conn, channel)
}

// afterBacklog sends more than the budget, for longer than a gateway caches the backlog. It checks
// that nothing is refused, and that Redis again has the correct number of entries that the group
// has read.
func (w *world) afterBacklog(rdb *redis.Client, conn *wstest.Conn, channel chat.ChannelID) {
	t := w.t
	t.Helper()
	before := 100 + staleBy + 1
	for began, n := time.Now(), 0; n < 2*staleBy || time.Since(began) < 4*time.Second; {
		sayMany(t, conn, channel, 100)
		n += 100
		w.awaitRows(channel, before+n) // keeps the real backlog below the budget, no matter how slow the machine is
	}
	testkit.Until(t, testkit.Timeout, func() error {
		p := rediskey.Of(channel.UUID, rediskey.DefaultPartitions)
		info, err := rdb.XInfoStream(t.Context(), rediskey.Stream(p)).Result()
		if err != nil {
			return err
		}
		mirrored, err := rdb.HGet(t.Context(), rediskey.Stored(p), "added").Int64()
		if lag := groupOf(t, rdb, channel).Lag; err == nil && (lag != 0 || mirrored != info.EntriesAdded) {
			err = fmt.Errorf("lag %d; %d of %d entries are stored by the mirror", lag, mirrored, info.EntriesAdded)
		}
		return err
	})
	var status struct{ Partitions []struct{ Lag *int64 } }
	env := map[string]string{"DATABASE_URL": w.sync[0].env["DATABASE_URL"], "REDIS_URL": w.sync[0].env["REDIS_URL"]}
	syncTool(t, env, 0, &status, "status")
	for p, s := range status.Partitions {
		if s.Lag == nil || *s.Lag != 0 {
			t.Errorf("partition %d: lag %v", p, s.Lag)
		}
	}
}

// sayMany sends n messages without waiting and then awaits their acks. A refusal fails the test.
func sayMany(t *testing.T, conn *wstest.Conn, channel chat.ChannelID, n int) {
	t.Helper()
	ids := make([]chat.ClientID, n)
	for i := range ids {
		ids[i] = conn.Say(t, channel, fmt.Sprint("message ", i))
	}
	for _, id := range ids {
		f := conn.Await(t, "an answer", func(f wstest.Frame) bool { return f.ClientID == id && (f.Type == "ack" || f.Type == "error") })
		if f.Type == "error" {
			t.Fatalf("refused: %s", f.Raw)
		}
	}
}

// sayUntilTaken repeats one message until it is acknowledged, as a client does while Redis is down.
func sayUntilTaken(t *testing.T, conn *wstest.Conn, channel chat.ChannelID) {
	t.Helper()
	id := chat.NewClientID()
	testkit.Until(t, testkit.Timeout, func() error {
		conn.Send(t, map[string]any{"type": "send", "channel_id": channel, "client_id": id, "body": "again"})
		f := conn.Await(t, "an answer", func(f wstest.Frame) bool { return f.ClientID == id && (f.Type == "ack" || f.Type == "error") })
		if f.Type == "error" {
			return fmt.Errorf("refused: %s", f.Raw)
		}
		return nil
	})
}

// groupOf returns the consumer group of a channel's partition.
func groupOf(t *testing.T, rdb *redis.Client, channel chat.ChannelID) redis.XInfoGroup {
	t.Helper()
	groups, err := rdb.XInfoGroups(t.Context(), rediskey.Stream(rediskey.Of(channel.UUID, rediskey.DefaultPartitions))).Result()
	if err != nil || len(groups) != 1 {
		t.Fatalf("groups %v, %v", groups, err)
	}
	return groups[0]
}

// linkedTo returns nil if a replica has received everything from its master.
func linkedTo(t *testing.T, replica *redis.Client) error {
	t.Helper()
	info, err := replica.Info(t.Context(), "replication").Result()
	if err == nil && !strings.Contains(info, "master_link_status:up") {
		err = fmt.Errorf("not linked")
	}
	return err
}

// sameEnd returns nil if the stream of the channel's partition ends at the same entry on the
// replica and on the master, and all its entries were delivered.
func sameEnd(t *testing.T, master, replica *redis.Client, channel chat.ChannelID) error {
	t.Helper()
	want, got := groupOf(t, master, channel), groupOf(t, replica, channel)
	if want.LastDeliveredID != got.LastDeliveredID || want.Pending+got.Pending != 0 {
		return fmt.Errorf("master %+v, replica %+v", want, got)
	}
	return nil
}

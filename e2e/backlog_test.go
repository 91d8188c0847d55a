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

// smallBudget is a BACKLOG_BUDGET that a count which is wrong by staleBy passes soon.
const (
	smallBudget = 500
	staleBy     = 1500
)

// TestBacklog_failover: a replica that was attached after the group had read is promoted under load. Redis does
// not replicate how much the group has read, so the new master shows entries as waiting that are stored. No
// send is refused for it, and nothing is shown as waiting.
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
		t.Fatalf("the replica shows a lag of %d: it knows what the group has read, and nothing is tested", lag)
	}
	if err := next.Client(t).Do(t.Context(), "replicaof", "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	gate.Lead(next.Addr())
	sayUntilTaken(t, conn, channel) // while connections break
	old.Kill(t)
	w.afterBacklog(next.Client(t), conn, channel)
}

// TestBacklog_rewrittenLog: a rewritten append-only file has how much the group had read by then, and what it
// reads afterwards is not in the file.
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

// afterBacklog sends more than the budget for longer than a gateway remembers what it has seen of the backlog,
// and checks that nothing is refused and that Redis knows again what the group has read.
func (w *world) afterBacklog(rdb *redis.Client, conn *wstest.Conn, channel chat.ChannelID) {
	t := w.t
	t.Helper()
	before := 100 + staleBy + 1
	for began, n := time.Now(), 0; n < 2*staleBy || time.Since(began) < 4*time.Second; {
		sayMany(t, conn, channel, 100)
		n += 100
		w.awaitRows(channel, before+n) // what does wait stays below the budget, however slow the machine is
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

// sayMany sends n messages at once and awaits their acks. A refusal fails the test.
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

// sayUntilTaken sends one message again until it is acknowledged, as a client does while Redis is away.
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

// linkedTo returns nil once a replica has all that its master had.
func linkedTo(t *testing.T, replica *redis.Client) error {
	t.Helper()
	info, err := replica.Info(t.Context(), "replication").Result()
	if err == nil && !strings.Contains(info, "master_link_status:up") {
		err = fmt.Errorf("not linked")
	}
	return err
}

// sameEnd returns nil once a replica's stream of the channel's partition ends where the master's does, all of it delivered.
func sameEnd(t *testing.T, master, replica *redis.Client, channel chat.ChannelID) error {
	t.Helper()
	want, got := groupOf(t, master, channel), groupOf(t, replica, channel)
	if want.LastDeliveredID != got.LastDeliveredID || want.Pending+got.Pending != 0 {
		return fmt.Errorf("master %+v, replica %+v", want, got)
	}
	return nil
}

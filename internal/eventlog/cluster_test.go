package eventlog

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

// The same code works on a Cluster: appends, tails, heads and subscriptions in all partitions, even
// when a master dies. After that, acknowledged and replicated events must still exist, the
// numbering must continue, and every topic on the dead master must be confirmed again.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 3, 1)
	rdb := open(t, c.URL())
	l := New(rdb, 16)
	a := NewAppender(l, rdb, empty, AppenderConfig{Logger: quiet})
	startAppender(t, a)

	// One channel in each partition.
	channels := make([]chat.ChannelID, l.Partitions())
	for left := len(channels); left > 0; {
		ch := chat.NewChannelID()
		if p := l.Partition(ch.UUID); channels[p].IsZero() {
			channels[p], left = ch, left-1
		}
	}
	recorders := make([]*recorder, len(channels))
	subs := make([]*Subscriber, len(channels))
	for p, ch := range channels {
		recorders[p] = newRecorder()
		subs[p] = l.NewSubscriber(p, recorders[p], quiet)
		subs[p].Subscribe(rediskey.Topic(p, ch))
		startSubscriber(t, subs[p])
		recorders[p].want(t, "+"+rediskey.Topic(p, ch))
	}

	acks := load(t, a, channels, func() {
		for _, m := range c.Masters {
			if err := m.Client(t).ScriptFlush(context.Background()).Err(); err != nil {
				t.Error(err)
			}
		}
	})
	wantAllOnce(t, l, acks)
	for p, ch := range channels {
		topic := rediskey.Topic(p, ch)
		for got := 0; got < len(acks[ch]); {
			m := recorders[p].next(t)
			if !strings.HasPrefix(m, topic+"=") {
				t.Fatalf("received %q", m)
			}
			got += strings.Count(m, `{"type":"message"`)
		}
		tail, err := l.Tail(t.Context(), ch, 10_000)
		if err != nil || len(tail) != len(acks[ch]) {
			t.Errorf("partition %d: the tail has %d items, %v; want %d", p, len(tail), err, len(acks[ch]))
		}
	}

	// Replication is asynchronous. This test is about the time after replication, so it waits until
	// it is complete.
	for i := range c.Masters {
		inStep(t, c, i)
	}
	dead := c.Masters[0].Client(t)
	lost := make(map[int]bool) // partitions of the master that dies
	for p := range channels {
		// redistest assigns the first third of the slots to the first master.
		if slot := dead.ClusterKeySlot(t.Context(), strconv.Itoa(p)).Val(); slot < 16384/3 {
			lost[p] = true
		}
	}
	if len(lost) == 0 || len(lost) == len(channels) {
		t.Fatalf("the first master has %d of %d partitions", len(lost), len(channels))
	}
	c.KillMaster(t, 0)
	ann := chat.NewUserID()
	for p, ch := range channels {
		e := message(ch, ann, "after the failover")
		ack, err := retryAppend(a, e)
		if err != nil {
			t.Fatalf("partition %d: %v", p, err)
		}
		if want := int64(len(acks[ch]) + 1); ack.Seq != want {
			t.Errorf("partition %d: seq %d, want %d", p, ack.Seq, want)
		}
		if again, err := retryAppend(a, e); err != nil || !again.Duplicate || again.Seq != ack.Seq {
			t.Errorf("partition %d: a retry is %+v, %v", p, again, err)
		}
		if lost[p] {
			recorders[p].until(t, "+"+rediskey.Topic(p, ch))
		}
		// The subscription is live again; messages may have been missed in between.
		ack, err = retryAppend(a, message(ch, ann, "live"))
		if err != nil {
			t.Fatal(err)
		}
		heads, err := l.Heads(t.Context(), []chat.ChannelID{ch})
		if err != nil || heads[0].Seq != ack.Seq {
			t.Errorf("partition %d: head %+v, %v; want %d", p, heads, err, ack.Seq)
		}
		for {
			if m := recorders[p].next(t); strings.Contains(m, ack.ID.String()) {
				break
			}
		}
		wantWhole(t, l, ch, append(acks[ch], ack))
	}
}

// inStep waits until the replica of the i-th master has replicated everything.
func inStep(t *testing.T, c *redistest.ClusterServers, i int) {
	t.Helper()
	master, replica := c.Masters[i].Client(t), c.Replicas[i][0].Client(t)
	testkit.Until(t, testkit.Timeout, func() error {
		m, err := master.Info(context.Background(), "replication").Result()
		if err != nil {
			return err
		}
		r, err := replica.Info(context.Background(), "replication").Result()
		if err != nil {
			return err
		}
		if want, got := infoNumber(m, "master_repl_offset"), infoNumber(r, "slave_repl_offset"); got < want {
			return fmt.Errorf("replica at %d of %d", got, want)
		}
		return nil
	})
}

// When a slot moves, the old node ends the subscriptions to its topics, and the subscriber connects
// to the new node.
func TestCluster_slotMoves(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 2, 0)
	rdb := open(t, c.URL())
	l := New(rdb, 1)
	e := newRecorder()
	s := l.NewSubscriber(0, e, quiet)
	topic := rediskey.Topic(0, chat.NewChannelID())
	s.Subscribe(topic)
	startSubscriber(t, s)
	e.want(t, "+"+topic)
	slot := rdb.ClusterKeySlot(t.Context(), "0").Val()
	owner, other := 0, 1
	if slot >= 8192 {
		owner, other = 1, 0
	}
	to, from := c.Masters[other].Client(t), c.Masters[owner].Client(t)
	id, err := to.Do(t.Context(), "CLUSTER", "MYID").Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range []interface {
		Do(context.Context, ...any) *redis.Cmd
	}{to, from} {
		if err := node.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "NODE", id).Err(); err != nil {
			t.Fatal(err)
		}
	}
	e.want(t, "+"+topic)
	testkit.Until(t, testkit.Timeout, func() error { return to.SPublish(context.Background(), topic, "moved").Err() })
	e.until(t, topic+"=moved")
}

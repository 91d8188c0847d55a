package appender

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog/logconn"
	"parley.chat/internal/eventlog/logtest"
	"parley.chat/internal/eventlog/subscriber"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

// recorder is a subscriber.Sink that forwards everything as text.
type recorder chan string

func (r recorder) Received(topic string, payload []byte) { r <- topic + "=" + string(payload) }
func (r recorder) Confirmed(topic string)                { r <- "+" + topic }
func (r recorder) Flush()                                {}

// next waits for the next text.
func (r recorder) next(t testing.TB) string {
	t.Helper()
	select {
	case s := <-r:
		return s
	case <-time.After(testkit.Timeout):
		t.Fatal("nothing was received")
		return ""
	}
}

// until skips texts until want arrives.
func (r recorder) until(t testing.TB, want string) {
	t.Helper()
	for r.next(t) != want {
	}
}

// The same code works on a Cluster: appends, tails, heads and subscriptions in all partitions, even
// when a master dies. After that, acknowledged and replicated events must still exist, the
// numbering must continue, and every topic on the dead master must be confirmed again.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 3, 1)
	l := logtest.On(t, c.URL(), 16)
	rdb := l.Redis
	conns := logconn.New(rdb, l.Partitions(), quiet)
	var recorders []recorder // by connection, of which there is one per partition
	subs := subscriber.Over(conns, func() subscriber.Sink {
		recorders = append(recorders, make(recorder, 100_000))
		return recorders[len(recorders)-1]
	})
	a := New(l.Log, rdb, logtest.Empty, Config{Over: conns, Logger: quiet})
	run(t, conns.Run) // once everything that uses the connections is constructed
	startAppender(t, a)

	// One channel in each partition.
	channels := make([]chat.ChannelID, l.Partitions())
	for left := len(channels); left > 0; {
		ch := chat.NewChannelID()
		if p := l.Partition(ch.UUID); channels[p].IsZero() {
			channels[p], left = ch, left-1
		}
	}
	for p, ch := range channels {
		subs[p].Subscribe(rediskey.Topic(p, ch))
		recorders[p].until(t, "+"+rediskey.Topic(p, ch))
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

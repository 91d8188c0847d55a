package wsserver_test

import (
	"fmt"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-migrations/schematest"
)

func newClusterWorld(t *testing.T, replicas int) (*world, *redistest.ClusterServers) {
	t.Helper()
	cluster := redistest.Cluster(t, 3, replicas)
	w := &world{t: t, db: schematest.Open(t), rdb: cluster.Client(t), url: cluster.URL()}
	w.finish()
	return w, cluster
}

func TestCluster_deliversChannelsOfAllShards(t *testing.T) {
	t.Parallel()
	w, _ := newClusterWorld(t, 0)
	ann, bob := w.person("ann"), w.person("bob")
	var channels []chat.ChannelID
	for range 12 { // enough to cover all shards
		channels = append(channels, w.channel(chat.Public, ann, bob))
	}
	one, _ := w.gateway()
	two, _ := w.gateway()
	a, _ := w.connect(one, ann)
	b, _ := w.connect(two, bob)
	const n = 30
	for i := range n {
		for _, c := range channels {
			a.Say(t, c, body(i))
		}
	}
	for _, c := range channels {
		b.AwaitSeq(t, c, 1, n)
		a.AwaitSeq(t, c, 1, n)
		w.resume(one, bob, c, 10).AwaitSeq(t, c, 11, n)
	}
}

// A master is killed and its replica takes over. Meanwhile, sends wait or are refused; then they
// work again. No seq is assigned twice, and both subscribers see the later messages.
func TestCluster_survivesTheDeathOfAMaster(t *testing.T) {
	t.Parallel()
	w, cluster := newClusterWorld(t, 1)
	ann, bob := w.person("ann"), w.person("bob")
	var channels []chat.ChannelID
	for range 6 {
		channels = append(channels, w.channel(chat.Public, ann, bob))
	}
	one, _ := w.gateway()
	two, _ := w.gateway()
	a, _ := w.connect(one, ann)
	b, _ := w.connect(two, bob)
	last := map[chat.ChannelID]int64{}
	say := func(c chat.ChannelID, text string) {
		t.Helper()
		id := chat.NewClientID()
		testkit.Until(t, testkit.Timeout, func() error {
			ref := chat.NewClientID().String()
			a.Send(t, map[string]any{"type": "send", "ref": ref, "channel_id": c, "client_id": id, "body": text})
			f := a.AwaitRef(t, ref)
			if f.Type != "ack" {
				return fmt.Errorf("%s", f.Raw)
			}
			if f.Seq <= last[c] {
				t.Fatalf("seq %d was assigned again: %s", last[c], f.Raw)
			}
			last[c] = f.Seq
			return nil
		})
	}
	for i := range 20 {
		for _, c := range channels {
			say(c, body(i))
		}
	}
	cluster.KillMaster(t, 0)
	for i := range 20 {
		for _, c := range channels {
			say(c, body(100+i))
		}
	}
	for _, c := range channels {
		for _, conn := range []*wstest.Conn{a, b} {
			conn.Await(t, "the last event", func(f wstest.Frame) bool { return f.Type == "message" && f.ChannelID == c && f.Seq == last[c] })
			var before int64
			for _, e := range conn.Events(c) {
				if e.Seq <= before {
					t.Errorf("seq %d after %d", e.Seq, before)
				}
				before = e.Seq
			}
		}
	}
}

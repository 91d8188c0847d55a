package e2e_test

import (
	"context"
	"fmt"
	"regexp"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

// TestDeletedRows_areShownAsLost deletes rows whose events no other store holds. Readers must get
// tombstones for the missing seqs and then the later events; the first reader at a gateway gets
// them after some attempts. `verify` must report the hole and, with --repair, fill it with
// tombstones.
func TestDeletedRows_areShownAsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	channel := ann.createChannel("harbour", "public")
	conn := ann.connect(w.ws[0])
	sayMany(t, conn, channel, 20)
	w.awaitRows(channel, 20) // seqs 2 to 21
	p := rediskey.Of(channel.UUID, rediskey.DefaultPartitions)
	rdb := w.redis.Client(t)
	rdb.Del(t.Context(), rediskey.Tail(p, channel))
	rdb.XTrimMaxLen(t.Context(), rediskey.Stream(p), 0)
	if _, err := w.pool.Exec(context.Background(), `delete from messages where channel_id = $1 and seq between 5 and 7`, channel.UUID); err != nil {
		t.Fatal(err)
	}
	metrics := map[*instance]string{}
	for _, i := range w.ws { // running gateways still have the events in memory
		i.proc.Kill(t)
		metrics[i] = fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t))
		i.env["WS_METRICS_ADDR"] = metrics[i]
		i.restart()
	}
	stones := map[int64]chat.EventID{}
	for _, i := range w.ws {
		for range 2 {
			c := wstest.Dial(t, i.wsURL()+"/ws?subscribe=none", ann.Token)
			c.AwaitType(t, "hello")
			c.Send(t, map[string]any{"type": "subscribe", "ref": "s", "channel_id": channel, "last_seen_seq": 2})
			c.AwaitSeq(t, channel, 3, 21)
			for _, e := range c.Events(channel) {
				want := "message"
				if e.Seq >= 5 && e.Seq <= 7 {
					want = "lost"
					if id, ok := stones[e.Seq]; ok && id != e.ID {
						t.Errorf("seq %d is shown as %s and %s", e.Seq, id, e.ID)
					}
					stones[e.Seq] = e.ID
				}
				if e.Type != want {
					t.Errorf("seq %d is a %s, want a %s", e.Seq, e.Type, want)
				}
			}
			if id := c.Say(t, channel, "goes on"); c.AwaitRef(t, id.String()).Type != "ack" {
				t.Error("a send is refused")
			}
			c.Close()
		}
		_, body, err := get("http://" + metrics[i] + "/metrics")
		if err != nil || !regexp.MustCompile(`(?m)^parley_ws_lost_seqs_total 3$`).MatchString(body) {
			t.Errorf("the gateway does not count 3 lost seqs: %v", err)
		}
	}
	var audit struct {
		Problems []struct {
			Kind     string
			From, To int64
		}
		Lost int64
	}
	w.awaitRows(channel, 21) // 17 old rows, and the new messages
	syncTool(t, w.sync[0].env, 1, &audit, "verify")
	if got := fmt.Sprint(audit.Problems); got != "[{hole 5 7}]" {
		t.Errorf("verify reports %s", got)
	}
	syncTool(t, w.sync[0].env, 0, &audit, "verify", "--repair")
	if audit.Lost != 3 {
		t.Errorf("verify --repair has stored %d tombstones, want 3", audit.Lost)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		for _, r := range w.rows(channel) {
			if id, ok := stones[r.Seq]; ok && (r.Kind != "lost" || r.ID != id.String()) {
				return fmt.Errorf("seq %d is a %s %s, but %s was shown", r.Seq, r.Kind, r.ID, id)
			}
		}
		return nil
	})
	syncTool(t, w.sync[0].env, 0, &audit, "verify")
}

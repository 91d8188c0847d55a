package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
)

// talker is a client that sends continuously. When its connection ends, it reconnects to the other
// gateway and resumes from the last seq it has seen.
type talker struct {
	account
	world   *world
	channel chat.ChannelID

	from    int64                   // the channel's last seq when the talker joined: earlier events are history
	seen    []int64                 // received seqs, in the order of arrival
	acked   map[chat.ClientID]int64 // seq by client id
	ids     map[chat.ClientID]string
	pending []chat.ClientID // sent but not acknowledged
	resumes int
}

// run sends until ctx is done. It then waits until all messages that it sent are acknowledged and
// have arrived.
func (k *talker) run(ctx context.Context, at int) error {
	for {
		err := k.connected(ctx, k.world.ws[at%2])
		if err == nil {
			return nil
		}
		k.resumes++
		at++
		if k.resumes > 500 {
			return fmt.Errorf("%s cannot stay connected: %w", k.Name, err)
		}
		<-time.After(time.Duration(20+rand.IntN(60)) * time.Millisecond) // the jitter of a reconnecting client
	}
}

var errDisconnected = errors.New("disconnected")

func (k *talker) last() int64 {
	if len(k.seen) == 0 {
		return k.from
	}
	return k.seen[len(k.seen)-1]
}

// connected runs one connection: it resumes, repeats the pending sends, and sends further messages.
// It returns nil when the talker is done.
func (k *talker) connected(ctx context.Context, ws *instance) error {
	conn, _, err := wstest.TryDial(k.world.t, ws.wsURL()+"/ws?subscribe=none", http.Header{"Authorization": {"Bearer " + k.Token}})
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.TryAwait(10*time.Second, func(f wstest.Frame) bool { return f.Type == "hello" }); err != nil {
		return err
	}
	if err := conn.TrySend(map[string]any{"type": "subscribe", "ref": "s", "channel_id": k.channel, "last_seen_seq": k.last()}); err != nil {
		return err
	}
	answer, err := conn.TryAwait(10*time.Second, func(f wstest.Frame) bool { return f.Ref == "s" })
	if err != nil {
		return err
	}
	if answer.Type != "subscribed" || !answer.Recovered {
		return fmt.Errorf("resume from %d: %s", k.last(), answer.Raw)
	}
	for _, id := range k.pending {
		if err := k.send(conn, id); err != nil {
			return err
		}
	}
	return k.talk(ctx, conn)
}

func (k *talker) send(conn *wstest.Conn, id chat.ClientID) error {
	return conn.TrySend(map[string]any{"type": "send", "ref": id.String(), "channel_id": k.channel, "client_id": id, "body": k.ids[id]})
}

func (k *talker) talk(ctx context.Context, conn *wstest.Conn) error {
	quiet := time.Now()
	for {
		done := ctx.Err() != nil
		if done && len(k.pending) == 0 && time.Since(quiet) > time.Second {
			return nil
		}
		if !done && len(k.pending) < 3 {
			id := chat.NewClientID()
			k.ids[id] = fmt.Sprintf("%s says %d", k.Name, len(k.ids))
			k.pending = append(k.pending, id)
			if err := k.send(conn, id); err != nil {
				return err
			}
		}
		f, err := conn.TryAwait(200*time.Millisecond, func(wstest.Frame) bool { return true })
		if err != nil {
			if conn.Ended() {
				return errDisconnected
			}
			if time.Since(quiet) > 20*time.Second {
				return fmt.Errorf("nothing arrives, %d pending", len(k.pending))
			}
			continue
		}
		quiet = time.Now()
		switch {
		case f.Type == "ack":
			k.ack(f)
		case f.Event() && f.ChannelID == k.channel:
			k.seen = append(k.seen, f.Seq)
		case f.Type == "error" && f.Code != "unavailable":
			return fmt.Errorf("unexpected: %s", f.Raw)
		case f.Type == "error": // pending messages are sent again over the next connection
			return errDisconnected
		}
	}
}

func (k *talker) ack(f wstest.Frame) {
	k.acked[f.ClientID] = f.Seq
	for i, id := range k.pending {
		if id == f.ClientID {
			k.pending = append(k.pending[:i:i], k.pending[i+1:]...)
			return
		}
	}
}

// crowd is a number of talkers in a few channels.
type crowd struct {
	w       *world
	talkers []*talker
	open    []chat.ChannelID
	stop    context.CancelFunc
	wg      sync.WaitGroup
	errs    chan error
}

func newCrowd(w *world, people, channels int) *crowd {
	w.t.Helper()
	c := &crowd{w: w, open: make([]chat.ChannelID, channels), errs: make(chan error, people)}
	var ctx context.Context
	ctx, c.stop = context.WithCancel(context.Background())
	w.t.Cleanup(func() { c.stop(); c.wg.Wait() })
	for i := range people {
		a := w.signup(fmt.Sprintf("talker-%d", i))
		room := i % channels
		if i < channels {
			c.open[room] = a.createChannel(fmt.Sprintf("room-%d", room), "unlisted")
		} else {
			a.join(c.open[room])
		}
		var from int64
		if err := w.pool.QueryRow(ctx, `select joined_seq from channel_members where channel_id = $1 and user_id = $2`, c.open[room].UUID, a.ID.UUID).Scan(&from); err != nil {
			w.t.Fatal(err)
		}
		c.talkers = append(c.talkers, &talker{account: a, world: w, channel: c.open[room], from: from, acked: map[chat.ClientID]int64{}, ids: map[chat.ClientID]string{}})
	}
	for i, k := range c.talkers {
		c.wg.Go(func() {
			if err := k.run(ctx, i); err != nil {
				c.errs <- err
			}
		})
	}
	return c
}

// finish lets all talkers finish. It then checks the contents of each channel and the events that
// each talker has seen.
func (c *crowd) finish() {
	c.w.t.Helper()
	c.w.awaitProgress(c.open[0])
	c.stop()
	c.wg.Wait()
	close(c.errs)
	for err := range c.errs {
		c.w.t.Error(err)
	}
	for _, id := range c.open {
		c.w.checkChannel(id, c.talkers)
	}
}

// TestKill kills each service in turn with SIGKILL while 20 clients send. Every acknowledged
// message is in PostgreSQL once, seqs have no holes, and every client has seen every seq once, in
// order.
func TestKill(t *testing.T) {
	w := newWorld(t)
	c := newCrowd(w, 20, 4)
	for _, victim := range append(w.all(), w.ws[0], w.sync[0]) {
		w.awaitProgress(c.open[0])
		victim.proc.Kill(t)
		w.awaitProgress(c.open[0]) // the other instances keep working
		victim.restart()
	}
	c.finish()
}

// TestRollingRestart stops both gateways with SIGTERM, one after the other, under load. No
// acknowledged message is lost and no client sees a hole.
func TestRollingRestart(t *testing.T) {
	w := newWorld(t)
	c := newCrowd(w, 20, 4)
	for range 2 {
		for _, ws := range w.ws {
			w.awaitProgress(c.open[0])
			ws.proc.Term(t)
			w.awaitProgress(c.open[0])
			ws.restart()
		}
	}
	c.finish()
}

// heads returns a function that reads a channel's counter from Redis, or 0 if there is none.
func (w *world) heads() func(chat.ChannelID) int64 {
	w.t.Helper()
	rdb := w.redis.Client(w.t)
	return func(c chat.ChannelID) int64 {
		keys, err := rdb.Keys(context.Background(), "parley:{*}:seq:"+c.String()).Result()
		if err != nil || len(keys) != 1 {
			return 0
		}
		n, _ := rdb.HGet(context.Background(), keys[0], "seq").Int64()
		return n
	}
}

// awaitProgress waits until a channel's counter has grown by 20.
func (w *world) awaitProgress(c chat.ChannelID) {
	w.t.Helper()
	head := w.heads()
	from := head(c)
	testkit.Until(w.t, testkit.Timeout, func() error {
		if now := head(c); now < from+20 {
			return fmt.Errorf("channel %s is at %d, was %d", c, now, from)
		}
		return nil
	})
}

func (w *world) checkChannel(c chat.ChannelID, talkers []*talker) {
	t := w.t
	t.Helper()
	acked, resumes := map[int64]string{}, 0
	var head int64
	for _, k := range talkers {
		if k.channel != c {
			continue
		}
		resumes += k.resumes
		for id, seq := range k.acked {
			if other, taken := acked[seq]; taken {
				t.Errorf("seq %d was acknowledged twice: %q and %q", seq, other, k.ids[id])
			}
			acked[seq] = k.ids[id]
			head = max(head, seq)
		}
	}
	var rows []row
	testkit.Until(t, testkit.Timeout, func() error { // the other sync-service claims the pending entries of the killed one
		if rows = w.rows(c); int64(len(rows)) < head {
			return fmt.Errorf("%d of %d events stored", len(rows), head)
		}
		return nil
	})
	bodies := map[string]int64{}
	for i, r := range rows {
		if r.Seq != int64(i+1) {
			t.Fatalf("channel %s: row %d has seq %d: a hole or a repeat", c, i, r.Seq)
		}
		if first, twice := bodies[r.Body]; twice && r.Kind == "message" {
			t.Errorf("channel %s: %q is stored as seq %d and %d", c, r.Body, first, r.Seq)
		}
		bodies[r.Body] = r.Seq
	}
	for seq, body := range acked {
		if seq > int64(len(rows)) || rows[seq-1].Body != body {
			t.Errorf("channel %s: seq %d was acknowledged as %q, but is not stored as that", c, seq, body)
		}
	}
	for _, k := range talkers {
		if k.channel != c {
			continue
		}
		for i, seq := range k.seen {
			if seq != k.from+int64(i+1) {
				t.Fatalf("%s: event %d has seq %d: a hole or a repeat", k.Name, i, seq)
			}
		}
		if k.last() != int64(len(rows)) {
			t.Errorf("%s has seen up to %d of %d", k.Name, k.last(), len(rows))
		}
	}
	t.Logf("channel %s: %d events, %d acknowledged, %d reconnects", c, len(rows), len(acked), resumes)
	if len(acked) == 0 || resumes == 0 {
		t.Error("nothing was sent or no client was disconnected, so the test shows nothing")
	}
}

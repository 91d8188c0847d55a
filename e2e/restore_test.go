package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
)

// TestRestore_olderRedis restores Redis from an older copy of its files while no process is left
// that remembers the channels' heads. Whatever the first access to a channel is, the channel must
// continue above its rows in PostgreSQL, in a new epoch, and no client may see two events with one
// seq.
func TestRestore_olderRedis(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	channels := map[string]chat.ChannelID{}
	for _, use := range []string{"resumed", "sent over REST", "sent without a subscription", "followed"} {
		channels[use] = ann.createChannel(use, "public")
		bob.join(channels[use])
	}
	conn, reader := ann.connect(w.ws[0]), bob.connect(w.ws[1])
	say := func(n int) {
		t.Helper()
		for _, c := range channels {
			sayMany(t, conn, c, n)
		}
	}
	say(10)
	files := copyOf(t, w.redis)
	sayUntilTaken(t, conn, channels["followed"]) // over new connections to Redis
	say(60)
	epochs, heads := map[chat.ChannelID]string{}, map[chat.ChannelID]int64{}
	hello := bob.connect(w.ws[0])
	for _, c := range hello.Frames()[0].Channels {
		epochs[c.ChannelID], heads[c.ChannelID] = c.Epoch, c.LastSeq
	}
	for _, c := range channels {
		reader.AwaitSeq(t, c, 3, heads[c]) // starting with the member_joined events
		w.awaitRows(c, 70)
	}
	testkit.Until(t, testkit.Timeout, func() error { // including each user's last message
		for _, c := range channels {
			if rows := w.rows(c); int64(len(rows)) != heads[c] {
				return fmt.Errorf("%d of %d rows", len(rows), heads[c])
			}
		}
		return nil
	})
	shown := map[chat.ChannelID]map[int64]chat.EventID{}
	for _, c := range channels {
		shown[c] = map[int64]chat.EventID{}
		for _, e := range reader.Events(c) {
			shown[c][e.Seq] = e.ID
		}
	}

	for _, i := range w.all() {
		i.proc.Kill(t)
	}
	w.redis.Kill(t)
	restore(t, w.redis, files)
	w.redis.Start(t)
	for _, i := range w.all() {
		i.start()
	}
	for _, i := range w.all() {
		i.proc.WaitReady(t, i.base+"/readyz")
	}

	stale := func(use string) map[string]any {
		c := channels[use]
		return map[string]any{"type": "subscribe", "ref": use, "channel_id": c, "last_seen_seq": heads[c], "epoch": epochs[c]}
	}
	quiet := func(a account, i int) *wstest.Conn {
		c := wstest.Dial(t, w.ws[i].wsURL()+"/ws?subscribe=none", a.Token)
		c.AwaitType(t, "hello")
		return c
	}
	above := func(use string, seq int64) {
		t.Helper()
		if seq <= heads[channels[use]] {
			t.Errorf("%s: seq %d is not above %d", use, seq, heads[channels[use]])
		}
	}
	a, b := quiet(ann, 0), quiet(bob, 1)
	b.Send(t, stale("resumed"))
	if f := b.AwaitRef(t, "resumed"); f.Type != "resync" || f.Epoch == epochs[channels["resumed"]] || f.LastSeq < heads[channels["resumed"]] {
		t.Errorf("resumed: %s", f.Raw)
	}
	var ack struct{ Seq int64 }
	w.call(http.MethodPost, "/v1/channels/"+channels["sent over REST"].String()+"/messages", ann.Token,
		map[string]any{"body": "over REST", "client_id": chat.NewClientID()}, 0, &ack)
	above("sent over REST", ack.Seq)
	id := a.Say(t, channels["sent without a subscription"], "without a subscription")
	f := a.AwaitRef(t, id.String())
	above("sent without a subscription", f.Seq)
	for use, c := range channels {
		if use != "resumed" {
			b.Send(t, stale(use))
			if f := b.AwaitRef(t, use); f.Type != "resync" {
				t.Errorf("%s: %s", use, f.Raw)
			}
		}
		id := a.Say(t, c, "on we go")
		ack := a.AwaitRef(t, id.String())
		above(use, ack.Seq)
		b.Await(t, "what follows", func(f wstest.Frame) bool { return f.Type == "message" && f.ChannelID == c && f.Seq == ack.Seq })
	}
	for use, c := range channels {
		w.awaitRows(c, 71)
		for _, r := range w.rows(c) {
			if id, ok := shown[c][r.Seq]; ok && id.String() != r.ID {
				t.Errorf("%s: seq %d was shown as %s and is stored as %s", use, r.Seq, id, r.ID)
			}
		}
		for _, conn := range []*wstest.Conn{a, b} {
			for _, e := range conn.Events(c) {
				if id, ok := shown[c][e.Seq]; ok && id != e.ID {
					t.Errorf("%s: seq %d was shown as %s and then as %s", use, e.Seq, id, e.ID)
				}
			}
		}
	}
	testkit.Until(t, testkit.Timeout, func() error {
		_, body, err := get(w.sync[0].base + "/metrics")
		if err == nil && !regexp.MustCompile(`(?m)^parley_sync_lost_writes_timestamp_seconds\{.*\} [1-9]`).MatchString(body) {
			err = fmt.Errorf("no metric reports the loss")
		}
		return err
	})
	var audit struct{ Problems []struct{ Kind string } }
	syncTool(t, w.sync[0].env, 0, &audit, "verify")
}

// copyOf returns a copy of the server's files. It stops the server for that and starts it again.
func copyOf(t *testing.T, s *redistest.Server) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "copy")
	s.Stop(t)
	if err := os.CopyFS(dir, os.DirFS(s.Dir())); err != nil {
		t.Fatal(err)
	}
	s.Start(t)
	return dir
}

// restore replaces the files of a stopped server with a copy.
func restore(t *testing.T, s *redistest.Server, files string) {
	t.Helper()
	old, err := os.ReadDir(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range old {
		if err := os.RemoveAll(filepath.Join(s.Dir(), f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(s.Dir(), os.DirFS(files)); err != nil {
		t.Fatal(err)
	}
}

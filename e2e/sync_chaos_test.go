package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
)

// chaosEntries returns the number of entries that TestSyncChaos stores, from PARLEY_CHAOS_ENTRIES.
// A full run uses 200000.
func chaosEntries(t *testing.T) int {
	t.Helper()
	text := os.Getenv("PARLEY_CHAOS_ENTRIES")
	if text == "" {
		return 20_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1000 {
		t.Fatalf("PARLEY_CHAOS_ENTRIES: %q is not a number from 1000", text)
	}
	return n
}

// poisons lists ways to damage an entry, each with a part of the dead letter's expected reason. One
// entry in a thousand is damaged.
var poisons = []struct {
	reason string
	apply  func(payload string) string
}{
	{"decode event", func(string) string { return "{" }},
	{"U+0000", func(p string) string { return strings.Replace(p, `"body":"`, `"body":"\u0000`, 1) }},
	{"UTF-8", func(p string) string { return strings.Replace(p, `"body":"`, "\"body\":\"\xff", 1) }},
	{"seq is", func(p string) string { return strings.Replace(p, `"seq":`, `"seq":1`, 1) }},
}

// TestSyncChaos stores a backlog while more entries arrive, PostgreSQL is stopped and started,
// sync-service is killed repeatedly with SIGKILL, and one entry in a thousand is damaged. In the
// end, every acknowledged event must have one row, or be a dead letter with its reason.
func TestSyncChaos(t *testing.T) {
	pg, rd := schematest.NewServer(t), redistest.NewServer(t)
	rdb, pool := rd.Client(t), pg.Pool(t)
	total := chaosEntries(t)
	addr := fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t))
	env := map[string]string{
		"SYNC_ADDR": addr, "DATABASE_URL": pg.URL, "REDIS_URL": rd.URL(), "CLAIM_IDLE": "1s", "LOG_LEVEL": "error",
		"BATCH_MAX": "500", "SYNC_WRITERS": "1", // small batches, so that a kill interrupts one
	}
	channels := make([]chat.ChannelID, 50)
	for i := range channels {
		channels[i] = chat.NewChannelID()
	}
	poisoned := map[string]string{} // maps channel and seq to a part of the expected reason
	next := 0
	add := func(n int) {
		t.Helper()
		pipe := rdb.Pipeline()
		for range n {
			c, seq := channels[next%len(channels)], int64(next/len(channels)+1)
			p := rediskey.Of(c.UUID, rediskey.DefaultPartitions)
			client := chat.NewClientID()
			f := frame.Event{
				Type: event.Message, ChannelID: c, Seq: seq, ID: chat.NewEventID(), ClientID: &client,
				SenderID: chat.NewUserID(), SenderName: "ann", Body: fmt.Sprint("message ", next), SentAt: chat.Now(),
			}
			payload, err := f.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if next%1000 == 500 {
				poison := poisons[next/1000%len(poisons)]
				payload = []byte(poison.apply(string(payload)))
				poisoned[fmt.Sprint(c, "/", seq)] = poison.reason
			}
			e := event.Entry{
				Version: event.Version, Channel: c, Seq: seq, Epoch: "1-a", Kind: f.Type, ID: f.ID,
				Sender: f.SenderID, ClientID: client, Payload: payload,
			}
			pipe.Do(t.Context(), append([]any{"XADD", rediskey.Stream(p), "*"}, e.Fields()...)...)
			pipe.Do(t.Context(), "HSET", rediskey.Counter(p, c), "seq", seq, "epoch", "1-a")
			next++
			if pipe.Len() >= 4000 {
				if _, err := pipe.Exec(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	rows := func() (n int) {
		if err := pool.QueryRow(t.Context(), `select count(*) from messages`).Scan(&n); err != nil {
			return -1
		}
		return n
	}
	start := func() *proctest.Process { return proctest.Start(t, "sync-service", nil, env) }
	passes := func(least int) {
		t.Helper()
		testkit.Until(t, testkit.Timeout, func() error {
			if n := rows(); n < least {
				return fmt.Errorf("%d of %d rows", n, least)
			}
			return nil
		})
	}

	add(total / 2) // no sync-service runs yet: these entries are the backlog
	const kills = 8
	service := start()
	for i := range kills {
		if i == kills/2 {
			pg.Stop(t)
			add(total / 2 / kills)
			service.Kill(t) // sync-service is killed again while PostgreSQL is down
			service = start()
			pg.Start(t)
		} else {
			add(total / 2 / kills)
		}
		passes(i*total/(2*kills) + rand.IntN(total/(2*kills)))
		service.Kill(t)
		service = start()
	}
	add(total - next)
	passes(total)

	var audit struct {
		Rows, Entries, Dead int64
		Problems            []struct{ Kind string }
	}
	syncTool(t, env, 0, &audit, "verify", "--wait", "60s")
	if audit.Rows != int64(total) || audit.Entries != int64(total) || audit.Dead != int64(len(poisoned)) {
		t.Errorf("verify: %+v; want %d rows and entries, %d dead", audit, total, len(poisoned))
	}
	var messages, failed int
	if err := pool.QueryRow(t.Context(), `select count(*) filter (where kind = 'message'), count(*) filter (where kind = 'failed') from messages`).
		Scan(&messages, &failed); err != nil || messages != total-len(poisoned) || failed != len(poisoned) {
		t.Errorf("%d messages, %d tombstones, %v; want %d, %d", messages, failed, err, total-len(poisoned), len(poisoned))
	}
	var dead struct {
		Letters []struct {
			Channel  chat.ChannelID `json:"channel_id"`
			Seq      int64
			Reason   string
			Attempts int
		}
	}
	syncTool(t, env, 0, &dead, "dead", "list")
	for _, l := range dead.Letters {
		place := fmt.Sprint(l.Channel, "/", l.Seq)
		if want, ok := poisoned[place]; !ok || !strings.Contains(l.Reason, want) || l.Attempts < 1 {
			t.Errorf("dead letter %+v; want reason %q", l, want)
		}
		delete(poisoned, place)
	}
	if len(poisoned) > 0 {
		t.Errorf("%d poisoned entries have no dead letter", len(poisoned))
	}
	service.Term(t)
}

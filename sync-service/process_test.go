package syncservice_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/streamtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const partitions = streamtest.Partitions

// TestProcess_repeatedKills runs two instances as processes and repeatedly kills one of them with
// SIGKILL while entries are appended. No entry may be lost or stored twice, and no entry may wait
// longer than CLAIM_IDLE allows for a dead instance.
func TestProcess_repeatedKills(t *testing.T) {
	t.Parallel()
	w := streamtest.Open(t)
	ports := [2]int{proctest.FreePort(t), proctest.FreePort(t)}
	start := func(i int) *proctest.Process {
		p := proctest.Start(t, "sync-service", nil, map[string]string{
			"SYNC_ADDR": "127.0.0.1:" + strconv.Itoa(ports[i]), "DATABASE_URL": w.PG.URL, "REDIS_URL": w.RedisURL,
			"STREAM_PARTITIONS": strconv.Itoa(partitions), "CLAIM_IDLE": "2s",
		})
		p.WaitReady(t, fmt.Sprintf("http://127.0.0.1:%d/readyz", ports[i]))
		return p
	}
	running := [2]*proctest.Process{start(0), start(1)}
	members := make([]chat.UserID, 5)
	for i := range members {
		members[i] = w.User(fmt.Sprint("user", i))
	}
	channels := make([]chat.ChannelID, 20)
	for i := range channels {
		channels[i] = w.Channel(members...)
		w.SetCounter(channels[i], 1000)
	}
	const rounds, perRound = 6, 1000
	seq := 0
	for range rounds {
		victim := rand.IntN(2)
		for part := range 2 {
			add(w, channels, &seq, perRound/2)
			recordReceipts(w, channels, members)
			if part == 0 {
				running[victim].Kill(t)
			}
		}
		running[victim] = start(victim)
	}
	// One instance stays dead, so the other must claim its pending entries.
	add(w, channels, &seq, perRound)
	recordReceipts(w, channels, members)
	running[0].Kill(t)
	testkit.Until(t, testkit.Timeout, func() error {
		if n := w.Count("select count(*) from messages where kind = 'message'"); n != seq {
			return fmt.Errorf("%d rows of %d", n, seq)
		}
		return nil
	})
	if bad := w.Count(`select count(*) from (select from messages group by channel_id having max(seq) <> count(*) or min(seq) <> 1) c`); bad != 0 {
		t.Errorf("%d channels with holes", bad)
	}
	testkit.Until(t, testkit.Timeout, func() error { return receiptsStored(w, channels) })
	checkStatus(t, proctest.Build(t, "sync-service"), w.RedisURL)
	running[1].Term(t)
}

// recordReceipts records new positions of each member in each channel.
func recordReceipts(w *streamtest.World, channels []chat.ChannelID, members []chat.UserID) {
	w.T.Helper()
	var moves []receiptlog.Move
	for _, c := range channels {
		for _, u := range members {
			delivered := rand.Int64N(1000)
			moves = append(moves, receiptlog.Move{Channel: c, User: u, Receipt: receiptlog.Receipt{Delivered: delivered, Read: rand.Int64N(delivered + 1)}})
		}
	}
	if _, err := receiptlog.New(w.RDB, partitions).Move(w.T.Context(), moves); err != nil {
		w.T.Fatal(err)
	}
}

// receiptsStored checks that the members' rows have the positions in Redis.
func receiptsStored(w *streamtest.World, channels []chat.ChannelID) error {
	w.T.Helper()
	for _, c := range channels {
		cursors, err := receiptlog.New(w.RDB, partitions).Held(w.T.Context(), c)
		if err != nil || len(cursors) != 5 {
			return fmt.Errorf("%d cursors, %w", len(cursors), err)
		}
		for u, want := range cursors {
			var got receiptlog.Receipt
			if err := w.Pool.QueryRow(w.T.Context(), `select last_delivered_seq, last_read_seq from channel_members where channel_id = $1 and user_id = $2`,
				c.UUID, u.UUID).Scan(&got.Delivered, &got.Read); err != nil || got != want {
				return fmt.Errorf("stored %v, want %v, %w", got, want, err)
			}
		}
	}
	return nil
}

// add appends n messages in one pipeline.
func add(w *streamtest.World, channels []chat.ChannelID, seq *int, n int) {
	w.T.Helper()
	pipe := w.RDB.Pipeline()
	for range n {
		e := streamtest.Entry(w.T, streamtest.Message(channels[*seq%len(channels)], int64(*seq/len(channels)+1), "hello"))
		pipe.XAdd(w.T.Context(), &redis.XAddArgs{Stream: rediskey.Stream(streamtest.Partition(e.Channel)), Values: e.Fields()})
		*seq++
	}
	if _, err := pipe.Exec(w.T.Context()); err != nil {
		w.T.Fatal(err)
	}
}

// checkStatus runs the status command with both output formats.
func checkStatus(t *testing.T, bin, redisURL string) {
	t.Helper()
	run := func(args ...string) []byte {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "sync-service"), args...)
		cmd.Env = []string{"REDIS_URL=" + redisURL, "STREAM_PARTITIONS=" + strconv.Itoa(partitions)}
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("sync-service %v: %v", args, err)
		}
		return out
	}
	var status struct {
		Partitions []struct {
			Length, Lag, Pending int64
			Consumers            []struct{ Name string }
		}
	}
	if err := json.Unmarshal(run("status", "-o", "json"), &status); err != nil {
		t.Fatal(err)
	}
	var length int64
	for _, p := range status.Partitions {
		length += p.Length
		if len(p.Consumers) != 2 || p.Lag != 0 {
			t.Errorf("partition %+v; want two consumers with unchanged names, and no lag", p)
		}
	}
	if len(status.Partitions) != partitions || length != 7000 {
		t.Errorf("%d partitions with %d entries, want %d with 7000", len(status.Partitions), length, partitions)
	}
	if table := string(run("status")); strings.Count(table, "\n") != partitions+1 || !strings.Contains(table, "watermark") {
		t.Errorf("status prints\n%s", table)
	}
}

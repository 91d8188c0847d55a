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

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const partitions = 4

// TestProcess_repeatedKills runs two instances as processes and repeatedly kills one of them with
// SIGKILL while entries are appended. No entry may be lost or stored twice, and no entry may wait
// longer than CLAIM_IDLE allows for a dead instance.
func TestProcess_repeatedKills(t *testing.T) {
	t.Parallel()
	pg, rd := schematest.Open(t), redistest.NewServer(t)
	rdb, pool := rd.Client(t), pg.Pool(t)
	ports := [2]int{proctest.FreePort(t), proctest.FreePort(t)}
	start := func(i int) *proctest.Process {
		p := proctest.Start(t, "sync-service", nil, map[string]string{
			"SYNC_ADDR": "127.0.0.1:" + strconv.Itoa(ports[i]), "DATABASE_URL": pg.URL, "REDIS_URL": rd.URL(),
			"STREAM_PARTITIONS": strconv.Itoa(partitions), "CLAIM_IDLE": "2s",
		})
		p.WaitReady(t, fmt.Sprintf("http://127.0.0.1:%d/readyz", ports[i]))
		return p
	}
	running := [2]*proctest.Process{start(0), start(1)}
	channels := make([]chat.ChannelID, 20)
	for i := range channels {
		channels[i] = chat.NewChannelID()
	}
	members := join(t, pool, rdb, channels)
	const rounds, perRound = 6, 1000
	seq := 0
	for range rounds {
		victim := rand.IntN(2)
		for part := range 2 {
			add(t, rdb, channels, &seq, perRound/2)
			recordReceipts(t, rdb, channels, members)
			if part == 0 {
				running[victim].Kill(t)
			}
		}
		running[victim] = start(victim)
	}
	// One instance stays dead, so the other must claim its pending entries.
	add(t, rdb, channels, &seq, perRound)
	recordReceipts(t, rdb, channels, members)
	running[0].Kill(t)
	testkit.Until(t, testkit.Timeout, func() error {
		var n int
		if err := pool.QueryRow(t.Context(), "select count(*) from messages where kind = 'message'").Scan(&n); err != nil || n != seq {
			return fmt.Errorf("%d rows of %d, %w", n, seq, err)
		}
		return nil
	})
	var bad int
	if err := pool.QueryRow(t.Context(), `select count(*) from
		(select from messages group by channel_id having max(seq) <> count(*) or min(seq) <> 1) c`).Scan(&bad); err != nil || bad != 0 {
		t.Errorf("%d channels with holes, %v", bad, err)
	}
	testkit.Until(t, testkit.Timeout, func() error { return receiptsStored(t, pool, rdb, channels) })
	checkStatus(t, proctest.Build(t, "sync-service"), rd.URL())
	running[1].Term(t)
}

// join gives each channel five members, and a counter of 1,000 events.
func join(t *testing.T, pool *pgxpool.Pool, rdb *redis.Client, channels []chat.ChannelID) (members []chat.UserID) {
	t.Helper()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		u := chat.NewUserID()
		members = append(members, u)
		exec(`insert into users (id, username, email, password_hash) values ($1, $2, $2, 'x')`, u.UUID, fmt.Sprint("user", i))
	}
	for i, c := range channels {
		exec(`insert into channels (id, kind, name) values ($1, 'private', $2)`, c.UUID, fmt.Sprint("channel", i))
		exec(`insert into channel_members (channel_id, user_id) select $1, id from users`, c.UUID)
		if err := rdb.HSet(t.Context(), rediskey.Counter(rediskey.Of(c.UUID, partitions), c), "seq", 1000, "epoch", "1-a").Err(); err != nil {
			t.Fatal(err)
		}
	}
	return members
}

// recordReceipts records new positions of each member in each channel.
func recordReceipts(t *testing.T, rdb *redis.Client, channels []chat.ChannelID, members []chat.UserID) {
	t.Helper()
	var moves []receiptlog.Move
	for _, c := range channels {
		for _, u := range members {
			delivered := rand.Int64N(1000)
			moves = append(moves, receiptlog.Move{Channel: c, User: u, Receipt: receiptlog.Receipt{Delivered: delivered, Read: rand.Int64N(delivered + 1)}})
		}
	}
	if _, err := receiptlog.New(rdb, partitions).Move(t.Context(), moves); err != nil {
		t.Fatal(err)
	}
}

// receiptsStored checks that the members' rows have the positions in Redis.
func receiptsStored(t *testing.T, pool *pgxpool.Pool, rdb *redis.Client, channels []chat.ChannelID) error {
	t.Helper()
	for _, c := range channels {
		cursors, err := receiptlog.New(rdb, partitions).Held(t.Context(), c)
		if err != nil || len(cursors) != 5 {
			return fmt.Errorf("%d cursors, %w", len(cursors), err)
		}
		for u, want := range cursors {
			var got receiptlog.Receipt
			if err := pool.QueryRow(t.Context(), `select last_delivered_seq, last_read_seq from channel_members where channel_id = $1 and user_id = $2`,
				c.UUID, u.UUID).Scan(&got.Delivered, &got.Read); err != nil || got != want {
				return fmt.Errorf("stored %v, want %v, %w", got, want, err)
			}
		}
	}
	return nil
}

// add appends n messages in one pipeline.
func add(t *testing.T, rdb *redis.Client, channels []chat.ChannelID, seq *int, n int) {
	t.Helper()
	pipe := rdb.Pipeline()
	for range n {
		ch := channels[*seq%len(channels)]
		client := chat.NewClientID()
		f := frame.Event{
			Type: event.Message, ChannelID: ch, Seq: int64(*seq/len(channels) + 1), ID: chat.NewEventID(), ClientID: &client,
			SenderID: chat.NewUserID(), SenderName: "ann", Body: "hello", SentAt: chat.Now(),
		}
		payload, err := f.Encode()
		if err != nil {
			t.Fatal(err)
		}
		e := event.Entry{
			Version: event.Version, Channel: ch, Seq: f.Seq, Epoch: "1-a", Kind: f.Type, ID: f.ID,
			Sender: f.SenderID, ClientID: client, Payload: payload,
		}
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: rediskey.Stream(rediskey.Of(ch.UUID, partitions)), Values: e.Fields()})
		*seq++
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
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

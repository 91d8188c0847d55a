package syncservice_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/testkit/pgtest"
	"parley.chat/internal/testkit/proctest"
	"parley.chat/internal/testkit/redistest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

// BenchmarkDrain stores a backlog of b.N entries with 200-byte bodies in 1,000 channels by one process
// with its default settings, and then the same rows into the same table, emptied, by one plain COPY. It
// reports the process's peak memory and processor time, too. The figures are in testdata/bench.txt:
//
//	go test . -run '^$' -bench Drain -benchtime 1000000x
func BenchmarkDrain(b *testing.B) {
	if b.N == 1 {
		return // the trial run
	}
	pg, rd := pgtest.NewServer(b), redistest.NewServer(b)
	rdb, pool := rd.Client(b), pg.Pool(b)
	body := strings.Repeat("The quick brown fox. ", 10)[:200]
	channels := make([]chat.ChannelID, 1000)
	for i := range channels {
		channels[i] = chat.NewChannelID()
	}
	pipe := rdb.Pipeline()
	for i := range b.N {
		client, ch := chat.NewClientID(), channels[i%1000]
		f := frame.Event{
			Type: event.Message, ChannelID: ch, Seq: int64(i/1000 + 1), ID: chat.NewEventID(), ClientID: &client,
			SenderID: chat.NewUserID(), SenderName: "ann", Body: body, SentAt: chat.Now(),
		}
		payload, err := f.Encode()
		if err != nil {
			b.Fatal(err)
		}
		e := event.Entry{
			Version: event.Version, Channel: ch, Seq: f.Seq, Epoch: "1-a", Kind: f.Type, ID: f.ID,
			Sender: f.SenderID, ClientID: client, Payload: payload,
		}
		pipe.XAdd(b.Context(), &redis.XAddArgs{Stream: rediskey.Stream(rediskey.Of(ch.UUID, rediskey.DefaultPartitions)), Values: e.Fields()})
		if pipe.Len() == 2000 || i == b.N-1 {
			if _, err := pipe.Exec(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	stored := func() int64 {
		n := int64(0)
		for p := range rediskey.DefaultPartitions {
			for _, g := range rdb.XInfoGroups(b.Context(), rediskey.Stream(p)).Val() {
				n += g.EntriesRead - g.Pending
			}
		}
		return n
	}
	b.ResetTimer()
	process := proctest.Start(b, "sync-service", nil, map[string]string{
		"SYNC_ADDR": "127.0.0.1:0", "DATABASE_URL": pg.URL, "REDIS_URL": rd.URL(), "CONSUMER_NAME": "bench", "LOG_LEVEL": "warn",
	})
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	deadline := time.Now().Add(5 * time.Minute)
	for stored() < int64(b.N) { // acknowledged, so stored
		if <-poll.C; time.Now().After(deadline) {
			b.Fatalf("%d of %d stored", stored(), b.N)
		}
	}
	b.StopTimer()
	drain := b.Elapsed()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process.Pid()))
	if err != nil {
		b.Fatal(err)
	}
	peak, _ := strconv.ParseFloat(string(regexp.MustCompile(`VmHWM:\s+(\d+)`).FindSubmatch(status)[1]), 64)
	process.Term(b)

	var n int
	if err := pool.QueryRow(b.Context(), "select count(*) from messages").Scan(&n); err != nil || n != b.N {
		b.Fatalf("%d rows, %v; want %d", n, err, b.N)
	}
	conn, err := pool.Acquire(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Release()
	var rows bytes.Buffer
	rows.Grow(b.N * 500)
	if _, err := conn.Conn().PgConn().CopyTo(b.Context(), &rows, "copy messages to stdout (format binary)"); err != nil {
		b.Fatal(err)
	}
	if _, err := pool.Exec(b.Context(), "truncate messages"); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if _, err := conn.Conn().PgConn().CopyFrom(b.Context(), &rows, "copy messages from stdin (format binary)"); err != nil {
		b.Fatal(err)
	}
	plain := time.Since(began)
	b.ReportMetric(float64(b.N)/drain.Seconds(), "entries/s")
	b.ReportMetric(float64(b.N)/plain.Seconds(), "plain-rows/s")
	b.ReportMetric(plain.Seconds()/drain.Seconds(), "of-plain-COPY")
	b.ReportMetric(peak/1024, "MiB")
	b.ReportMetric(0, "ns/op")
}

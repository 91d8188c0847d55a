package syncservice_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
	"parley.chat/sync-service/internal/streamtest"
)

// BenchmarkDrain stores a backlog of b.N entries with 200-byte bodies in 1,000 channels. It uses
// one or two processes with their default settings, and checks that each entry has its row. Then it
// empties the table and stores the same rows again with a plain COPY. In addition to the rates, it
// reports the peak memory of a process, and the CPU time per entry, which depends less on other
// load on the machine. The figures are in testdata/bench.txt:
//
//	go test . -run '^$' -bench Drain -benchtime 1000000x
func BenchmarkDrain(b *testing.B) {
	for _, instances := range []int{1, 2} {
		b.Run(fmt.Sprint("instances=", instances), func(b *testing.B) {
			if b.N > 1 { // skip the trial run
				benchmarkDrain(b, instances)
			}
		})
	}
}

func benchmarkDrain(b *testing.B, instances int) {
	pg, rd := schematest.NewServer(b), redistest.NewServer(b)
	rdb, pool := rd.Client(b), pg.Pool(b)
	fill(b, rdb)
	proctest.Build(b, "sync-service") // takes as long as storing 100,000 entries
	awaitCalm(b, rdb)
	if err := rdb.BgRewriteAOF(b.Context()).Err(); err != nil {
		b.Fatal(err)
	}
	awaitCalm(b, rdb)
	redisPid := redisPid(b, rdb)
	redisTime, pgTime := cpuTime(b, redisPid), postgresTime(b, pool)
	b.ResetTimer()
	var processes []*proctest.Process
	for i := range instances {
		processes = append(processes, proctest.Start(b, "sync-service", nil, map[string]string{
			"SYNC_ADDR": "127.0.0.1:0", "DATABASE_URL": pg.URL, "REDIS_URL": rd.URL(),
			"CONSUMER_NAME": fmt.Sprint("bench", i), "LOG_LEVEL": "warn",
		}))
	}
	awaitStored(b, rdb)
	b.StopTimer()
	drain := b.Elapsed()
	redisTime, pgTime = cpuTime(b, redisPid)-redisTime, postgresTime(b, pool)-pgTime
	var syncTime time.Duration
	peak := 0.0
	for _, p := range processes {
		syncTime += cpuTime(b, p.Pid())
		peak = max(peak, peakMiB(b, p.Pid()))
		p.Term(b)
	}
	checkRows(b, pool)
	plain := plainCopy(b, pool)
	perEntry := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(b.N) }
	b.ReportMetric(float64(b.N)/drain.Seconds(), "entries/s")
	b.ReportMetric(float64(b.N)/plain.Seconds(), "plain-rows/s")
	b.ReportMetric(plain.Seconds()/drain.Seconds(), "of-plain-COPY")
	b.ReportMetric(peak, "MiB")
	b.ReportMetric(perEntry(syncTime), "sync-µs")
	b.ReportMetric(perEntry(redisTime), "redis-µs")
	b.ReportMetric(perEntry(pgTime), "pg-µs")
	b.ReportMetric(0, "ns/op")
}

// fill appends b.N messages to the channels in turn.
func fill(b *testing.B, rdb *redis.Client) {
	b.Helper()
	body := strings.Repeat("The quick brown fox. ", 10)[:200]
	channels := make([]chat.ChannelID, 1000)
	for i := range channels {
		channels[i] = chat.NewChannelID()
	}
	pipe := rdb.Pipeline()
	for i := range b.N {
		e := streamtest.Entry(b, streamtest.Message(channels[i%1000], int64(i/1000+1), body))
		pipe.XAdd(b.Context(), &redis.XAddArgs{Stream: rediskey.Stream(rediskey.Of(e.Channel.UUID, rediskey.DefaultPartitions)), Values: e.Fields()})
		if pipe.Len() == 2000 || i == b.N-1 {
			if _, err := pipe.Exec(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// awaitCalm waits while Redis rewrites its append-only file, so that no work from filling the
// streams remains.
func awaitCalm(b *testing.B, rdb *redis.Client) {
	b.Helper()
	testkit.Until(b, time.Minute, func() error {
		info, err := rdb.InfoMap(b.Context(), "persistence").Result()
		if state := info["Persistence"]; err == nil && (state["aof_rewrite_in_progress"] != "0" || state["aof_rewrite_scheduled"] != "0") {
			return errors.New("Redis rewrites its log")
		}
		return err
	})
}

// awaitStored waits until all b.N entries are acknowledged, which means that they are stored.
func awaitStored(b *testing.B, rdb *redis.Client) {
	b.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(5 * time.Minute); ; <-poll.C {
		n := int64(0)
		groups := make([]*redis.XInfoGroupsCmd, rediskey.DefaultPartitions)
		_, _ = rdb.Pipelined(b.Context(), func(pipe redis.Pipeliner) error { // the group may not exist yet
			for p := range groups {
				groups[p] = pipe.XInfoGroups(b.Context(), rediskey.Stream(p))
			}
			return nil
		})
		for _, reply := range groups {
			for _, g := range reply.Val() {
				n += g.EntriesRead - g.Pending
			}
		}
		if n >= int64(b.N) {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d stored", n, b.N)
		}
	}
}

// checkRows checks that every channel has each of its seqs. The primary key excludes duplicates.
func checkRows(b *testing.B, pool *pgxpool.Pool) {
	b.Helper()
	var n, holes int
	if err := pool.QueryRow(b.Context(), `select coalesce(sum(rows), 0), count(*) filter (where rows <> last) from
		(select count(*) as rows, max(seq) as last from messages where kind = 'message' group by channel_id) c`).Scan(&n, &holes); err != nil {
		b.Fatal(err)
	}
	if n != b.N || holes != 0 {
		b.Fatalf("%d rows, %d channels with holes; want %d rows without", n, holes, b.N)
	}
}

// plainCopy stores the existing rows again, in the same table after it was emptied, and returns how
// long that took.
func plainCopy(b *testing.B, pool *pgxpool.Pool) time.Duration {
	b.Helper()
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
	return time.Since(began)
}

func redisPid(b *testing.B, rdb *redis.Client) int {
	b.Helper()
	info, err := rdb.InfoMap(b.Context(), "server").Result()
	if err != nil {
		b.Fatal(err)
	}
	pid, err := strconv.Atoi(info["Server"]["process_id"])
	if err != nil {
		b.Fatal(err)
	}
	return pid
}

// postgresTime returns the CPU time of all PostgreSQL processes that still exist.
func postgresTime(b *testing.B, pool *pgxpool.Pool) (sum time.Duration) {
	b.Helper()
	var backend int
	if err := pool.QueryRow(b.Context(), "select pg_backend_pid()").Scan(&backend); err != nil {
		b.Fatal(err)
	}
	parent := strings.Fields(readStat(b, backend))[1]
	found, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		b.Fatal(err)
	}
	for _, dir := range found {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // the process has ended
		}
		if fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])); fields[1] == parent {
			sum += cpuTime(b, pid)
		}
	}
	return sum
}

// peakMiB returns the peak resident memory of a process.
func peakMiB(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+)`).FindSubmatch(status)
	if found == nil {
		b.Fatalf("no VmHWM in\n%s", status)
	}
	kib, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}

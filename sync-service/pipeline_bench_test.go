package syncservice_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
	"parley.chat/sync-service/internal/streamtest"
)

// appended records a batch of appends: its partition, how many entries the partition then had, and
// when Redis replied.
type appended struct {
	upTo int64
	at   time.Time
}

// BenchmarkPipeline appends 5,000 messages a second, b.N in all, while one process runs with its
// default settings. It reports the time from Redis's reply to the acknowledgement by the consumer
// group, which follows the commit, and the CPU time of sync-service. The figures are in
// testdata/bench.txt:
//
//	go test . -run '^$' -bench Pipeline -benchtime 300000x
func BenchmarkPipeline(b *testing.B) {
	if b.N == 1 {
		return // skip the trial run
	}
	const perSecond = 5000
	pg, rd := schematest.NewServer(b), redistest.NewServer(b)
	rdb := rd.Client(b)
	port := proctest.FreePort(b)
	process := proctest.Start(b, "sync-service", nil, map[string]string{
		"SYNC_ADDR": "127.0.0.1:" + strconv.Itoa(port), "DATABASE_URL": pg.URL, "REDIS_URL": rd.URL(), "CONSUMER_NAME": "bench", "LOG_LEVEL": "warn",
	})
	process.WaitReady(b, fmt.Sprintf("http://127.0.0.1:%d/readyz", port))
	groups(b, rdb)
	channels := make([]chat.ChannelID, 1000)
	for i := range channels {
		channels[i] = chat.NewChannelID()
	}
	body := strings.Repeat("The quick brown fox. ", 10)[:200]

	seen := make(chan []int64, 1024) // acknowledged entries per partition, with the time; see watch
	times := make(chan time.Time, 1024)
	stop := make(chan struct{})
	go watch(b, rdb, seen, times, stop)
	var waiting [rediskey.DefaultPartitions][]appended
	var added [rediskey.DefaultPartitions]int64
	var latencies []time.Duration
	total, done := int64(0), int64(0)
	take := func() {
		acked, at := <-seen, <-times
		for p, n := range acked {
			before := int64(0)
			for len(waiting[p]) > 0 && waiting[p][0].upTo <= n {
				latencies = append(latencies, at.Sub(waiting[p][0].at))
				waiting[p] = waiting[p][1:]
				before++
			}
			done += before
		}
	}
	cpu := cpuTime(b, process.Pid())
	b.ResetTimer()
	for i, began := 0, time.Now(); i < b.N; {
		take() // this determines the rate of the loop
		due := min(b.N, int(time.Since(began).Seconds()*perSecond)) - i
		if due == 0 {
			continue
		}
		pipe := rdb.Pipeline()
		var touched []int
		for range due {
			e := streamtest.Entry(b, streamtest.Message(channels[i%1000], int64(i/1000+1), body))
			p := rediskey.Of(e.Channel.UUID, rediskey.DefaultPartitions)
			pipe.XAdd(b.Context(), &redis.XAddArgs{Stream: rediskey.Stream(p), Values: e.Fields()})
			added[p]++
			touched = append(touched, p)
			i++
		}
		if _, err := pipe.Exec(b.Context()); err != nil {
			b.Fatal(err)
		}
		slices.Sort(touched)
		for _, p := range slices.Compact(touched) {
			waiting[p] = append(waiting[p], appended{added[p], time.Now()})
			total++
		}
	}
	b.StopTimer()
	cpu = cpuTime(b, process.Pid()) - cpu
	for done < total {
		take()
	}
	close(stop)
	slices.Sort(latencies)
	at := func(q float64) float64 {
		return float64(latencies[int(q*float64(len(latencies)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(at(1), "max-ms")
	b.ReportMetric(cpu.Seconds()/b.Elapsed().Seconds(), "cores")
	b.ReportMetric(0, "ns/op")
}

// groups waits until every partition has its consumer group.
func groups(b *testing.B, rdb *redis.Client) {
	b.Helper()
	testkit.Until(b, 30*time.Second, func() error {
		for p := range rediskey.DefaultPartitions {
			if n := len(rdb.XInfoGroups(b.Context(), rediskey.Stream(p)).Val()); n == 0 {
				return fmt.Errorf("partition %d has no group", p)
			}
		}
		return nil
	})
}

// watch repeatedly reports how many entries each partition has acknowledged.
func watch(b *testing.B, rdb *redis.Client, seen chan<- []int64, times chan<- time.Time, stop <-chan struct{}) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		pipe := rdb.Pipeline()
		infos := make([]*redis.XInfoGroupsCmd, rediskey.DefaultPartitions)
		for p := range infos {
			infos[p] = pipe.XInfoGroups(b.Context(), rediskey.Stream(p))
		}
		if _, err := pipe.Exec(b.Context()); err != nil {
			return
		}
		acked := make([]int64, len(infos))
		for p, info := range infos {
			for _, g := range info.Val() {
				acked[p] = g.EntriesRead - g.Pending
			}
		}
		select {
		case <-stop:
			return
		case seen <- acked:
			times <- time.Now()
		}
		<-tick.C
	}
}

// cpuTime returns the CPU time that a process has used, in hundredths of a second.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	fields := strings.Fields(readStat(b, pid))
	user, _ := strconv.ParseInt(fields[11], 10, 64) // fields 14 and 15 of proc(5)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// readStat returns the fields after the name in the process's line of proc(5).
func readStat(b *testing.B, pid int) string {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	return string(stat[strings.LastIndexByte(string(stat), ')')+1:])
}

package consumer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/consumer"
	"parley.chat/sync-service/internal/streamworker"
)

// BenchmarkDrain stores a backlog of b.N entries with 200-byte bodies in 1,000 channels, with one
// instance and its default settings. The figures are in testdata/bench.txt.
func BenchmarkDrain(b *testing.B) {
	w := newWorld(b, 1000)
	body := strings.Repeat("The quick brown fox. ", 10)[:200]
	pipe := w.RDB.Pipeline()
	for i := range b.N {
		e := w.next(w.channels[i%1000], body)
		pipe.XAdd(b.Context(), &redis.XAddArgs{Stream: rediskey.Stream(partition(e.Channel)), Values: e.Fields()})
		if pipe.Len() == 1000 || i == b.N-1 {
			if _, err := pipe.Exec(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ResetTimer()
	in := w.start("a", nil, func(c *consumer.Config) {
		defaults := streamworker.Config{Name: c.Name, Partitions: c.Partitions, Logger: c.Logger}
		*c = consumer.Config{Config: defaults, Metrics: c.Metrics}
	})
	w.until(func() error {
		if n := in.metric(b, "inserted_total", ""); n != float64(b.N) {
			return fmt.Errorf("%v rows of %d", n, b.N)
		}
		return nil
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(0, "ns/op")
	in.stop()
}

package lag

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// collector queries Redis on each scrape, so it needs no goroutine and never shows outdated values.
type collector struct {
	rdb                                                redis.UniversalClient
	partitions                                         int
	lag, pending, seconds, length, dead, consumers, up *prometheus.Desc
	receipts, receiptsSeconds, lost, memory            *prometheus.Desc
}

// NewCollector returns a collector that reports the lag of every partition and the memory usage of
// Redis. All instances report the same values, so alerts should use the maximum.
func NewCollector(rdb redis.UniversalClient, partitions int) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("parley_sync_"+name, help, labels, nil)
	}
	return &collector{
		rdb: rdb, partitions: partitions,
		lag:             desc("lag_entries", "Entries not yet delivered to the consumer group.", "partition"),
		pending:         desc("pending_entries", "Entries delivered and not acknowledged.", "partition"),
		seconds:         desc("lag_seconds", "Age of the oldest entry that is not stored.", "partition"),
		length:          desc("stream_entries", "Entries in the stream, including stored ones.", "partition"),
		dead:            desc("dead_entries", "Dead letters waiting for the operator.", "partition"),
		consumers:       desc("consumers", "Consumers in the group.", "partition"),
		receipts:        desc("receipts_waiting_entries", "Entries of the receipts stream that are not stored.", "partition"),
		receiptsSeconds: desc("receipts_lag_seconds", "Age of the oldest receipts entry that is not stored.", "partition"),
		lost:            desc("lost_writes_timestamp_seconds", "When Redis was last found to have lost writes.", "partition"),
		memory:          desc("redis_memory_ratio", "Share of maxmemory (0 to 1) that the fullest Redis server uses. Missing if no server has a maxmemory or none answers."),
		up:              desc("lag_known", "1 if the state of the streams could be read, else 0."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.lag, c.pending, c.seconds, c.length, c.dead, c.consumers, c.up, c.receipts, c.receiptsSeconds, c.lost, c.memory} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // a scrape has no context
	defer cancel()
	// Read the memory usage first, because reading the streams may exceed the timeout when Redis is
	// nearly full. If one server does not answer, still report the value of the others.
	if share, _ := Memory(ctx, c.rdb); share > 0 {
		ch <- prometheus.MustNewConstMetric(c.memory, prometheus.GaugeValue, share)
	}
	states, err := Read(ctx, c.rdb, c.partitions)
	known := 1.0
	if err != nil {
		known = 0
	}
	ch <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, known)
	for _, s := range states {
		p := strconv.Itoa(s.Partition)
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, p)
		}
		if s.Lag != nil {
			gauge(c.lag, float64(*s.Lag))
		}
		gauge(c.pending, float64(s.Pending))
		gauge(c.seconds, s.LagSeconds)
		gauge(c.length, float64(s.Length))
		gauge(c.dead, float64(s.Dead))
		gauge(c.consumers, float64(len(s.Consumers)))
		if s.Receipts.Lag != nil {
			gauge(c.receipts, float64(*s.Receipts.Lag+s.Receipts.Pending))
		}
		gauge(c.receiptsSeconds, s.Receipts.LagSeconds)
		if s.Lost != nil {
			gauge(c.lost, float64(s.Lost.Unix()))
		}
	}
}

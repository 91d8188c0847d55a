package redisclient

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/platform/telemetry"
)

const (
	watchInterval = time.Minute
	watchTimeout  = 10 * time.Second // timeout for checking all servers
	warnInterval  = time.Hour        // interval at which a persisting warning is logged again
)

// risk is a Redis setting that can cause acknowledged messages to be lost.
type risk struct {
	setting string                              // label for the metric
	holds   func(info map[string]string) bool   // reports whether a server with this INFO output has the setting
	text    func(info map[string]string) string // for the reader; contains no addresses
}

func fixed(text string) func(map[string]string) string {
	return func(map[string]string) string { return text }
}

// risks lists the settings that a Watch checks. INFO contains all of them, so no permission for
// CONFIG is needed.
var risks = []risk{
	{
		"maxmemory-policy",
		func(i map[string]string) bool {
			return i["maxmemory_policy"] != "" && i["maxmemory_policy"] != "noeviction"
		},
		func(i map[string]string) string {
			return fmt.Sprintf("maxmemory-policy is %.40s, not noeviction: Redis deletes messages when its memory is full", i["maxmemory_policy"])
		},
	},
	{
		"appendonly",
		func(i map[string]string) bool { return i["aof_enabled"] == "0" },
		fixed("appendonly is off: when Redis restarts, messages that are not in PostgreSQL yet are lost"),
	},
	{
		"append-only file",
		func(i map[string]string) bool { return i["aof_enabled"] == "1" && i["aof_last_write_status"] == "err" },
		fixed("the append-only file cannot be written: is the disk of Redis full?"),
	},
	{
		"maxmemory",
		func(i map[string]string) bool { return i["maxmemory"] == "0" },
		fixed("maxmemory is not set: nothing refuses sends before the memory of the machine is full"),
	},
}

// Watch reads the settings of every server when it starts and once a minute, because Redis may have
// been restarted with another configuration. It logs each risk that it finds, exports it as a
// metric and returns it from Warnings.
type Watch struct {
	rdb    redis.UniversalClient
	log    *slog.Logger
	unsafe *prometheus.GaugeVec
	every  time.Duration

	mu       sync.Mutex
	warnings []string

	loggedAt map[string]time.Time // when each warning was last logged; used only by check
}

// NewWatch returns a Watch for the servers behind rdb and registers its metric with reg.
func NewWatch(rdb redis.UniversalClient, reg prometheus.Registerer, log *slog.Logger) *Watch {
	return &Watch{rdb: rdb, log: log, every: watchInterval, loggedAt: map[string]time.Time{}, unsafe: promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
		Name: "parley_redis_unsafe",
		Help: "1 if a Redis server has a value of this setting with which it can lose acknowledged messages, else 0.",
	}, []string{"setting"})}
}

// Warnings returns the warnings from the last check. They contain no addresses.
func (w *Watch) Warnings() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.warnings)
}

// Run checks the settings once a minute until ctx is done. While Redis is not responding, the last
// result remains in effect.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		if err := w.check(ctx); err != nil && ctx.Err() == nil {
			w.log.DebugContext(ctx, "failed to read the settings of Redis", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// check reads the settings of every server, including replicas, because any replica may become the
// master.
func (w *Watch) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	found := map[string]string{} // by setting
	err := eachServer(ctx, w.rdb, func(c *redis.Client) error {
		info, err := c.Info(ctx, "memory", "persistence").Result()
		if err != nil {
			return fmt.Errorf("read settings of Redis: %w", err)
		}
		fields := infoOf(info)
		for _, r := range risks {
			if r.holds(fields) {
				found[r.setting] = r.text(fields)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var warnings []string
	for _, r := range risks {
		text, holds := found[r.setting]
		w.report(ctx, r.setting, text, holds)
		if holds {
			warnings = append(warnings, text)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.warnings = warnings
	return nil
}

func (w *Watch) report(ctx context.Context, setting, text string, holds bool) {
	said, before := w.loggedAt[setting]
	switch {
	case holds:
		w.unsafe.WithLabelValues(setting).Set(1)
		if time.Since(said) >= warnInterval {
			w.loggedAt[setting] = time.Now()
			w.log.WarnContext(ctx, "Redis can lose acknowledged messages", "setting", setting, "reason", text)
		}
	default:
		w.unsafe.WithLabelValues(setting).Set(0)
		if before {
			delete(w.loggedAt, setting)
			w.log.InfoContext(ctx, "setting of Redis is safe again", "setting", setting)
		}
	}
}

// eachServer is like eachMaster but includes the replicas in a Redis Cluster.
func eachServer(ctx context.Context, rdb redis.UniversalClient, f func(*redis.Client) error) error {
	c, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return eachMaster(ctx, rdb, f)
	}
	var mu sync.Mutex
	var refused []string
	reached := 0
	err := c.ForEachShard(ctx, func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		if err := f(node); err != nil {
			refused = append(refused, err.Error())
			return nil
		}
		reached++
		return nil
	})
	if err == nil && reached == 0 {
		return fmt.Errorf("no node answered: %s", strings.Join(refused, "; "))
	}
	return err // nodes that are down are skipped, as long as one node has answered
}

// Ready is a readiness check: it reports whether Redis can currently serve a deployment with the
// given number of partitions. If a setting can cause messages to be lost, Redis still counts as
// ready, but the result is marked as degraded.
func (w *Watch) Ready(ctx context.Context, partitions int) error {
	if err := Check(ctx, w.rdb, partitions); err != nil {
		return &telemetry.StateError{Reason: Reason(err), Err: err}
	}
	if warnings := w.Warnings(); len(warnings) > 0 {
		return &telemetry.StateError{Reason: strings.Join(warnings, "; "), Degraded: true}
	}
	return nil
}

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

	"parley.chat/internal/telemetry"
)

const (
	watchEvery  = time.Minute
	watchWithin = 10 * time.Second // bounds one look at all servers
	repeatEvery = time.Hour        // a warning that still holds is logged again
)

// risk is a setting of Redis with which it can lose acknowledged messages.
type risk struct {
	setting string                              // the label of the metric
	holds   func(info map[string]string) bool   // for a server with this INFO
	text    func(info map[string]string) string // for people; it has no addresses
}

func fixed(text string) func(map[string]string) string {
	return func(map[string]string) string { return text }
}

// risks are what a Watch looks for. INFO has all of it, so no permission for CONFIG is needed.
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
		fixed("appendonly is off: when Redis restarts, every message that is not in PostgreSQL yet is lost"),
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

// Watch looks at the settings of every server when it starts and once a minute: Redis may have been restarted
// with another configuration. What it finds is logged, counted in a metric and returned by Warnings.
type Watch struct {
	rdb    redis.UniversalClient
	log    *slog.Logger
	unsafe *prometheus.GaugeVec
	every  time.Duration

	mu       sync.Mutex
	warnings []string

	said map[string]time.Time // when each warning was logged; look's own
}

// NewWatch returns a Watch of the servers behind rdb, with its metric at reg.
func NewWatch(rdb redis.UniversalClient, reg prometheus.Registerer, log *slog.Logger) *Watch {
	return &Watch{rdb: rdb, log: log, every: watchEvery, said: map[string]time.Time{}, unsafe: promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
		Name: "parley_redis_unsafe",
		Help: "1 while a server of Redis has this setting so that it can lose acknowledged messages, else 0.",
	}, []string{"setting"})}
}

// Warnings returns what the last look has found, in words without addresses.
func (w *Watch) Warnings() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.warnings)
}

// Run looks until ctx is done. What was found last stands while Redis does not answer.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			w.log.DebugContext(ctx, "settings of Redis not read", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look asks every server, replicas included: one of them may be the master tomorrow.
func (w *Watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchWithin)
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
	said, before := w.said[setting]
	switch {
	case holds:
		w.unsafe.WithLabelValues(setting).Set(1)
		if time.Since(said) >= repeatEvery {
			w.said[setting] = time.Now()
			w.log.WarnContext(ctx, "Redis can lose acknowledged messages", "setting", setting, "reason", text)
		}
	default:
		w.unsafe.WithLabelValues(setting).Set(0)
		if before {
			delete(w.said, setting)
			w.log.InfoContext(ctx, "setting of Redis is safe again", "setting", setting)
		}
	}
}

// eachServer is eachMaster for the replicas of a Cluster as well.
func eachServer(ctx context.Context, rdb redis.UniversalClient, look func(*redis.Client) error) error {
	c, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return eachMaster(ctx, rdb, look)
	}
	var mu sync.Mutex
	var refused []string
	reached := 0
	err := c.ForEachShard(ctx, func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		if err := look(node); err != nil {
			refused = append(refused, err.Error())
			return nil
		}
		reached++
		return nil
	})
	if err == nil && reached == 0 {
		return fmt.Errorf("no node answers: %s", strings.Join(refused, "; "))
	}
	return err // a node that is down has no settings to look at
}

// Ready is a check of readiness: whether Redis can serve a deployment of so many partitions right now. With a
// setting that can lose messages it can, and the answer says so.
func (w *Watch) Ready(ctx context.Context, partitions int) error {
	if err := Check(ctx, w.rdb, partitions); err != nil {
		return &telemetry.StateError{Words: Words(err), Err: err}
	}
	if warnings := w.Warnings(); len(warnings) > 0 {
		return &telemetry.StateError{Words: strings.Join(warnings, "; "), Degraded: true}
	}
	return nil
}

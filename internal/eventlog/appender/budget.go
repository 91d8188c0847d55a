package appender

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/rediskey"
)

// BudgetConfig sets the limits beyond which appends are refused.
type BudgetConfig struct {
	// Backlog is the maximum number of unstored entries across all partitions. Beyond this limit,
	// appends are refused only in partitions whose own backlog exceeds an equal share of the limit.
	Backlog  int64
	RefuseAt float64 // fraction of maxmemory, 0 to 1, at which appends are refused; ignored without maxmemory
	Logger   *slog.Logger
}

// Budget refuses appends before Redis is full, because a full Redis would lose events. It reads the
// backlog and the memory usage once a second, so it adds no cost to an append. If only sync-service
// or PostgreSQL is down, nothing is refused until the backlog exceeds its limit.
type Budget struct {
	rdb     redis.UniversalClient
	cfg     BudgetConfig
	refused []atomic.Pointer[string] // by partition: the reason for refusing appends, or nil if appends are accepted
	warn    bool                     // whether Run has already warned that Redis has no maxmemory; accessed only by Run
}

// NewBudget returns a Budget that refuses nothing until Run has made its first check.
func NewBudget(rdb redis.UniversalClient, partitions int, cfg BudgetConfig) *Budget {
	return &Budget{rdb: rdb, cfg: cfg, refused: make([]atomic.Pointer[string], partitions)}
}

// check returns an Overloaded error while partition p accepts no appends. A nil Budget accepts all
// appends.
func (b *Budget) check(p int) error {
	if b == nil {
		return nil
	}
	if reason := b.refused[p].Load(); reason != nil {
		return &apierr.Error{
			Code: apierr.Overloaded, Message: "The server accepts no more messages at the moment. Please try again.",
			RetryAfter: 2 * time.Second, Err: errors.New(*reason), // the figures are only for the log
		}
	}
	return nil
}

// Refuses reports whether appends to partition p are currently refused.
func (b *Budget) Refuses(p int) bool { return b != nil && b.refused[p].Load() != nil }

// Run checks the backlog and the memory usage every second until ctx is done. While Redis is not
// responding, the last result remains in effect.
func (b *Budget) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := b.checkAll(ctx); err != nil && ctx.Err() == nil {
			b.cfg.Logger.Debug("budget check failed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (b *Budget) checkAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	full, err := b.fullNode(ctx)
	if err != nil {
		return err
	}
	backlogs, err := b.backlogs(ctx)
	if err != nil {
		return err
	}
	reasons := refusals(backlogs, b.cfg.Backlog)
	for p := range backlogs {
		var reason *string
		switch {
		case full != "":
			reason = &full
		case reasons[p] != "":
			reason = &reasons[p]
		}
		if was := b.refused[p].Swap(reason); (was == nil) != (reason == nil) {
			if reason != nil {
				b.cfg.Logger.Error("appends are refused", "partition", p, "reason", *reason)
			} else {
				b.cfg.Logger.Info("appends are accepted again", "partition", p)
			}
		}
	}
	return nil
}

// refusals returns, by partition, the reason for refusing appends, or "" if they are accepted.
// While all partitions together are within the budget, no appends are refused, however long the
// backlog of a single partition is. Beyond the budget, appends are refused only for partitions that
// exceed an equal share. That way, a busy channel does not block all others. The backlog can
// therefore reach at most twice the budget.
func refusals(backlogs []int64, budget int64) []string {
	reasons := make([]string, len(backlogs))
	var sum int64
	for _, n := range backlogs {
		sum += n
	}
	if sum <= budget {
		return reasons
	}
	share := budget / int64(len(backlogs))
	for p, n := range backlogs {
		if n > share {
			reasons[p] = fmt.Sprintf("%d events are not stored yet, and the limit is %d. This partition has %d of them, and its share is %d.", sum, budget, n, share)
		}
	}
	return reasons
}

// backlogs returns, by partition, the number of entries that are not stored yet. The number is 0 if
// the stream's last id is the watermark. Otherwise it is the number of entries added to the stream
// since the watermark, and at most the stream's length.
func (b *Budget) backlogs(ctx context.Context) ([]int64, error) {
	infos, marks := make([]*redis.XInfoStreamCmd, len(b.refused)), make([]*redis.SliceCmd, len(b.refused))
	_, _ = b.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error { // each command has its own error
		for p := range b.refused {
			marks[p] = pipe.HMGet(ctx, rediskey.Stored(p), "entry", "added")
			infos[p] = pipe.XInfoStream(ctx, rediskey.Stream(p))
		}
		return nil
	})
	n := make([]int64, len(b.refused))
	for p := range n {
		switch err := infos[p].Err(); {
		case redis.HasErrorPrefix(err, "no such key"):
			continue
		case err != nil:
			return nil, fmt.Errorf("read stream of partition %d: %w", p, err)
		}
		mark, err := marks[p].Result()
		if err != nil {
			return nil, fmt.Errorf("read watermark of partition %d: %w", p, err)
		}
		n[p] = waiting(infos[p].Val(), mark)
	}
	return n, nil
}

// waiting returns the number of entries in a stream above its watermark. mark is the pair {id,
// count} that Redis holds for the watermark. The result is never too low. It can be too high only
// after a failover, until sync-service has acknowledged the entries that reappeared.
func waiting(stream *redis.XInfoStream, mark []any) int64 {
	id, _ := mark[0].(string)
	if id == stream.LastGeneratedID {
		return 0
	}
	text, _ := mark[1].(string)
	added, _ := strconv.ParseInt(text, 10, 64) // a missing count parses as 0: no entry has been stored yet
	if added > stream.EntriesAdded {           // the count belongs to an earlier stream
		return stream.Length
	}
	return min(stream.EntriesAdded-added, stream.Length)
}

// fullNode returns the reason for refusing all appends if a server has used the fraction RefuseAt
// of its maxmemory, or "" if none has.
func (b *Budget) fullNode(ctx context.Context) (string, error) {
	var mu sync.Mutex
	var full string
	checkNode := func(ctx context.Context, c *redis.Client) error {
		info, err := c.Info(ctx, "memory").Result()
		if err != nil {
			return fmt.Errorf("read memory of Redis: %w", err)
		}
		used, limit := infoNumber(info, "used_memory"), infoNumber(info, "maxmemory")
		mu.Lock()
		defer mu.Unlock()
		if limit == 0 {
			if !b.warn {
				b.warn = true
				b.cfg.Logger.Warn("Redis has no maxmemory: its memory is not watched")
			}
			return nil
		}
		if share := float64(used) / float64(limit); share >= b.cfg.RefuseAt {
			full = fmt.Sprintf("The event log is %.0f%% full.", 100*share)
		}
		return nil
	}
	var err error
	switch c := b.rdb.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, checkNode)
	case *redis.Client:
		err = checkNode(ctx, c)
	}
	return full, err
}

func infoNumber(info, name string) int64 {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
	}
	return 0
}

package eventlog

import (
	"context"
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

// BudgetConfig says when appends are refused.
type BudgetConfig struct {
	Backlog  int64   // entries that are not stored yet, over all partitions; beyond it each has its equal share
	RefuseAt float64 // share of maxmemory, 0 to 1; without a maxmemory there is no such limit
	Logger   *slog.Logger
}

// Budget refuses appends before Redis is full, which would lose what is on its way. It looks once a
// second, so that an append pays nothing for it. sync-service or PostgreSQL being down alone refuses
// nothing until the backlog has grown to its budget.
type Budget struct {
	log  *Log
	cfg  BudgetConfig
	over []atomic.Pointer[string] // by partition: why, nil for "go ahead"
	warn bool                     // Run's own: it has warned of a missing maxmemory
}

// NewBudget returns a Budget that refuses nothing until Run has looked.
func NewBudget(log *Log, cfg BudgetConfig) *Budget {
	return &Budget{log: log, cfg: cfg, over: make([]atomic.Pointer[string], log.partitions)}
}

// check returns an Overloaded error while partition p takes no appends. A nil Budget takes all.
func (b *Budget) check(p int) error {
	if b == nil {
		return nil
	}
	if why := b.over[p].Load(); why != nil {
		return &apierr.Error{Code: apierr.Overloaded, Message: *why, RetryAfter: 2 * time.Second}
	}
	return nil
}

// Refuses reports whether appends to partition p are refused right now.
func (b *Budget) Refuses(p int) bool { return b != nil && b.over[p].Load() != nil }

// Run looks every second until ctx is done. What it saw last stands while Redis does not answer.
func (b *Budget) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := b.look(ctx); err != nil && ctx.Err() == nil {
			b.cfg.Logger.Debug("budgets not read", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (b *Budget) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	full, err := b.fullNode(ctx)
	if err != nil {
		return err
	}
	backlogs, err := b.log.backlogs(ctx)
	if err != nil {
		return err
	}
	refused := short(backlogs, b.cfg.Backlog)
	for p := range backlogs {
		var why *string
		switch {
		case full != "":
			why = &full
		case refused[p] != "":
			why = &refused[p]
		}
		if was := b.over[p].Swap(why); (was == nil) != (why == nil) {
			if why != nil {
				b.cfg.Logger.Error("appends are refused", "partition", p, "reason", *why)
			} else {
				b.cfg.Logger.Info("appends are taken again", "partition", p)
			}
		}
	}
	return nil
}

// short returns, by partition, why no more may be appended, "" for go ahead. While all partitions together are
// within the budget none is refused, however much waits in one of them. Beyond it those are refused that have
// more than their equal share, so that a busy channel does not keep the others from sending. So at most twice
// the budget waits.
func short(backlogs []int64, budget int64) []string {
	why := make([]string, len(backlogs))
	var sum int64
	for _, n := range backlogs {
		sum += n
	}
	if sum <= budget {
		return why
	}
	share := budget / int64(len(backlogs))
	for p, n := range backlogs {
		if n > share {
			why[p] = fmt.Sprintf("%d events wait to be stored, at most %d may; %d of them in this partition, whose share is %d", sum, budget, n, share)
		}
	}
	return why
}

// backlogs returns, by partition, how many entries wait to be stored. Nothing waits where the stream's last
// id is the watermark. Otherwise the counts of both say how much, and the stream's length bounds it.
func (l *Log) backlogs(ctx context.Context) ([]int64, error) {
	infos, marks := make([]*redis.XInfoStreamCmd, l.partitions), make([]*redis.SliceCmd, l.partitions)
	_, _ = l.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error { // each command has its own error
		for p := range l.partitions {
			marks[p] = pipe.HMGet(ctx, rediskey.Stored(p), "entry", "added")
			infos[p] = pipe.XInfoStream(ctx, rediskey.Stream(p))
		}
		return nil
	})
	n := make([]int64, l.partitions)
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

// waiting returns how many entries of a stream lie above its watermark, the pair {id, count} of the mirror:
// never too few, and none too many once sync-service has acknowledged what a failover has brought back.
func waiting(stream *redis.XInfoStream, mark []any) int64 {
	id, _ := mark[0].(string)
	if id == stream.LastGeneratedID {
		return 0
	}
	text, _ := mark[1].(string)
	added, _ := strconv.ParseInt(text, 10, 64) // nothing: no entry was stored
	if added > stream.EntriesAdded {           // the count is that of an earlier stream
		return stream.Length
	}
	return min(stream.EntriesAdded-added, stream.Length)
}

// fullNode returns why no append is taken: a server whose memory is used up to the limit.
func (b *Budget) fullNode(ctx context.Context) (string, error) {
	var mu sync.Mutex
	var full string
	look := func(ctx context.Context, c *redis.Client) error {
		info, err := c.Info(ctx, "memory").Result()
		if err != nil {
			return fmt.Errorf("read memory of Redis: %w", err)
		}
		used, most := infoNumber(info, "used_memory"), infoNumber(info, "maxmemory")
		mu.Lock()
		defer mu.Unlock()
		if most == 0 {
			if !b.warn {
				b.warn = true
				b.cfg.Logger.Warn("Redis has no maxmemory: its memory is not watched")
			}
			return nil
		}
		if share := float64(used) / float64(most); share >= b.cfg.RefuseAt {
			full = fmt.Sprintf("the event log is %.0f%% full", 100*share)
		}
		return nil
	}
	var err error
	switch c := b.log.rdb.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, look)
	case *redis.Client:
		err = look(ctx, c)
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

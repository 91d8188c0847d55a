package streamworker

import (
	"context"

	"github.com/redis/go-redis/v9"

	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/group"
)

// CreateGroup creates the consumer group of a partition's stream if it does not exist.
func (w *Worker) CreateGroup(ctx context.Context, partition int) error {
	var start entryid.ID
	if w.streams.Start != nil {
		var err error
		if start, err = w.streams.Start(ctx, partition); err != nil {
			return err
		}
	}
	stream := w.streams.Key(partition)
	created, err := group.Create(ctx, w.rdb, stream, start)
	if created {
		w.cfg.Logger.InfoContext(ctx, "consumer group created", "stream", stream, "entry_id", start.String())
	}
	return err
}

// Claim claims the entries of a partition that any consumer, including this one, has left pending
// for at least ClaimIdle. It calls handle for each page of claimed entries. It must not run while
// this process is storing entries of the partition, because it could claim the entries being
// stored.
func (w *Worker) Claim(ctx context.Context, partition int, page int64, handle func([]redis.XMessage) error) error {
	return group.Claim(ctx, w.rdb, w.streams.Key(partition), w.cfg.Name, w.cfg.ClaimIdle, page, handle)
}

// Reap removes the other consumers that have been idle for ConsumerExpiry and have no pending
// entries. It returns the number of removed consumers.
func (w *Worker) Reap(ctx context.Context) (removed int, err error) {
	for p := range w.cfg.Partitions {
		stream := w.streams.Key(p)
		names, err := group.Reap(ctx, w.rdb, stream, w.cfg.Name, w.cfg.ConsumerExpiry)
		if err != nil {
			return removed, err
		}
		removed += len(names)
		for _, name := range names {
			w.cfg.Logger.InfoContext(ctx, "consumer removed", "stream", stream, "name", name)
		}
	}
	return removed, nil
}

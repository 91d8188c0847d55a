package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/scan"
	"parley.chat/sync-service/internal/store"
)

// Filter selects dead letters. The zero value selects all.
type Filter struct {
	IDs          []string // "<partition>/<dead letter id>", as returned by Name
	Channel      *chat.ChannelID
	Reason       string    // a substring of the reason
	Since, Until time.Time // when the entry became a dead letter
}

// Name returns the name that operators use for a dead letter: "<partition>/<dead letter id>".
func (l Letter) Name() string { return fmt.Sprintf("%d/%s", l.Partition, l.ID) }

// Match reports whether the filter selects l.
func (f Filter) Match(l Letter) bool {
	return (len(f.IDs) == 0 || slices.Contains(f.IDs, l.Name())) &&
		(f.Channel == nil || l.Event.Channel == *f.Channel) &&
		strings.Contains(l.Reason, f.Reason) &&
		(f.Since.IsZero() || !l.At.Before(f.Since)) && (f.Until.IsZero() || l.At.Before(f.Until))
}

// Each calls visit for every dead letter, partition by partition, oldest first.
func Each(ctx context.Context, rdb redis.UniversalClient, partitions int, visit func(Letter) error) error {
	for p := range partitions {
		if err := scan.Stream(ctx, rdb, rediskey.Dead(p), entryid.ID{}, scan.Last, func(page []redis.XMessage) error {
			for _, m := range page {
				l := Decode(m)
				l.Partition = p
				if err := visit(l); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// List returns the dead letters that f selects.
func List(ctx context.Context, rdb redis.UniversalClient, partitions int, f Filter) ([]Letter, error) {
	var list []Letter
	err := Each(ctx, rdb, partitions, func(l Letter) error {
		if f.Match(l) {
			list = append(list, l)
		}
		return nil
	})
	return list, err
}

// Store is the part of store.Store that Retry and Drop need.
type Store interface {
	Store(ctx context.Context, b store.Batch) (store.Result, error)
	RaiseReceipts(ctx context.Context, cursors []store.Receipt) (int64, error)
	Drop(ctx context.Context, partition int, channel chat.ChannelID, seq int64) (bool, error)
}

// ErrRemains is wrapped by the error that Retry returns if a dead letter still cannot be stored.
var ErrRemains = errors.New("remains a dead letter")

// Retry stores the contents of a dead letter and removes it. An event is stored under its original
// seq and replaces its tombstone; receipts are raised, never lowered. Retry may be repeated.
func Retry(ctx context.Context, rdb redis.UniversalClient, s Store, partitions int, l Letter) error {
	retry := retryEvent
	if l.Source == Receipts {
		retry = retryReceipts
	}
	if err := retry(ctx, s, partitions, l); err != nil {
		return err
	}
	return remove(ctx, rdb, l)
}

func retryReceipts(ctx context.Context, s Store, partitions int, l Letter) error {
	r, err := event.DecodeReceipts(l.Fields)
	if err != nil {
		return fmt.Errorf("%s %w: %w", l.Name(), ErrRemains, err)
	}
	if p := rediskey.Of(r.Channel.UUID, partitions); p != l.Partition {
		return fmt.Errorf("%s %w: it belongs to partition %d", l.Name(), ErrRemains, p)
	}
	if _, err := s.RaiseReceipts(ctx, store.ReceiptsOf(r)); err != nil {
		return fmt.Errorf("store dead letter %s: %w", l.Name(), err)
	}
	return nil
}

func retryEvent(ctx context.Context, s Store, partitions int, l Letter) error {
	e, err := event.DecodeEntry(l.Fields)
	if err != nil {
		return fmt.Errorf("%s %w: %w", l.Name(), ErrRemains, err)
	}
	if p := rediskey.Of(e.Channel.UUID, partitions); p != l.Partition {
		return fmt.Errorf("%s %w: it belongs to partition %d", l.Name(), ErrRemains, p)
	}
	row, err := store.RowOf(e)
	if err != nil {
		return fmt.Errorf("%s %w: %w", l.Name(), ErrRemains, err)
	}
	res, err := s.Store(ctx, store.Batch{Partitions: []int{l.Partition}, Rows: []store.Row{row}, MaybeStored: true})
	if err != nil {
		return fmt.Errorf("store dead letter %s: %w", l.Name(), err)
	}
	for _, r := range res.Rejected {
		if !r.Elsewhere {
			return fmt.Errorf("%s %w: %s", l.Name(), ErrRemains, r.Why())
		}
	}
	return nil
}

// Drop marks a dead letter's tombstone as permanent and removes the dead letter. Drop may be
// repeated.
func Drop(ctx context.Context, rdb redis.UniversalClient, s Store, l Letter) error {
	if l.Source == Events && !l.Event.Channel.IsZero() && l.Event.Seq > 0 {
		if _, err := s.Drop(ctx, l.Partition, l.Event.Channel, l.Event.Seq); err != nil {
			return err
		}
	}
	return remove(ctx, rdb, l)
}

func remove(ctx context.Context, rdb redis.UniversalClient, l Letter) error {
	if err := rdb.XDel(ctx, rediskey.Dead(l.Partition), l.ID).Err(); err != nil {
		return fmt.Errorf("remove dead letter %s: %w", l.Name(), err)
	}
	return nil
}

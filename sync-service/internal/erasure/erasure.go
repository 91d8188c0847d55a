// Package erasure removes the names of deleted accounts from the data that sync-service has
// written: the rows of the event log, the dead letters, and the tails of the channels. Until the
// names are removed, readers omit them.
//
// It works in small batches. It does not have to record its position, because its queries find only
// rows that still contain a name. So it may be interrupted at any time, and any number of instances
// may run. Later passes find the events that are stored after a deletion, for example because they
// were dead letters.
package erasure

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/platform/outage"
	"parley.chat/shared-contracts/chat"
	"parley.chat/sync-service/internal/consumer"
	"parley.chat/sync-service/internal/deadletter"
)

// Config configures a Scrubber. If an optional field is zero, its default is used.
type Config struct {
	Redis      redis.UniversalClient // required, as are the next three fields
	Store      Store
	Partitions int
	Registry   prometheus.Registerer

	Interval     time.Duration // default 5s: interval between searches for the names of recently deleted accounts
	FullInterval time.Duration // default 1h: interval between searches for the names of all deleted accounts, including searches in dead letters
	Retention    time.Duration // default 72h: how long a deleted account's entries may stay in the streams
	Batch        int           // default 500: maximum number of rows per transaction
	Logger       *slog.Logger  // default slog.Default()
}

// Store is the part of store.Store that a Scrubber needs.
type Store interface {
	UsersToScrub(ctx context.Context, since time.Time, limit int) ([]chat.UserID, error)
	Erased(ctx context.Context, users []chat.UserID) ([]chat.UserID, error)
	RemoveName(ctx context.Context, user chat.UserID, limit int) (channels []chat.ChannelID, err error)
	CountUnscrubbed(ctx context.Context) (int, error)
	MarkScrubbed(ctx context.Context) (remaining int, err error)
	consumer.Watermarks
}

const (
	usersPerQuery = 100
	// batchPause is the pause between batches. It leaves the database free for other work.
	batchPause = 20 * time.Millisecond
	// passTimeout bounds the duration of one pass. The next pass removes the remaining names.
	passTimeout = 5 * time.Minute
)

// Scrubber removes the names of deleted accounts.
type Scrubber struct {
	cfg     Config
	outage  *outage.Log
	rows    prometheus.Counter
	letters prometheus.Counter
	waiting prometheus.Gauge
	allAt   time.Time // when the last full pass began
	// tails holds the channels whose tails must be trimmed. The tails are trimmed one pass after
	// the channels' rows were changed, because entries that were just stored are not yet below the
	// watermark. If a restart loses this list, the old items expire by themselves.
	tails map[chat.ChannelID]struct{}
}

// New checks cfg. It does no I/O and starts no goroutines.
func New(cfg Config) (*Scrubber, error) {
	if cfg.Redis == nil || cfg.Store == nil || cfg.Partitions < 1 || cfg.Registry == nil {
		return nil, errors.New("erasure: a required field of Config is missing")
	}
	cfg.Interval, cfg.FullInterval = cmp.Or(cfg.Interval, 5*time.Second), cmp.Or(cfg.FullInterval, time.Hour)
	cfg.Retention, cfg.Batch = cmp.Or(cfg.Retention, 72*time.Hour), cmp.Or(cfg.Batch, 500)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	with := promauto.With(cfg.Registry)
	return &Scrubber{
		cfg: cfg, tails: map[chat.ChannelID]struct{}{}, outage: outage.New(cfg.Logger, "removal of deleted accounts' names is interrupted", "removal of deleted accounts' names resumed"),
		rows: with.NewCounter(prometheus.CounterOpts{
			Name: "parley_sync_names_removed_rows_total", Help: "Rows of the event log from which the name of a deleted account was removed.",
		}),
		letters: with.NewCounter(prometheus.CounterOpts{
			Name: "parley_sync_names_removed_dead_letters_total", Help: "Dead letters from which the name of a deleted account was removed.",
		}),
		waiting: with.NewGauge(prometheus.GaugeOpts{
			Name: "parley_sync_erasures_waiting", Help: "Deleted accounts whose names have not been removed from the event log yet.",
		}),
	}, nil
}

// Run removes names until ctx is done. If PostgreSQL or Redis is down, it retries at the next
// interval.
func (s *Scrubber) Run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.Interval)
	defer tick.Stop()
	for {
		if err := s.pass(ctx); err == nil {
			s.outage.Worked(ctx, "")
		} else if ctx.Err() == nil {
			s.outage.Failed(ctx, "", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// pass searches for the names of deleted accounts and removes them. Most passes find no names and
// cost only two index reads.
func (s *Scrubber) pass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	began := time.Now()
	since, all := began.Add(-s.cfg.Retention-time.Hour), began.Sub(s.allAt) >= s.cfg.FullInterval
	if all {
		since = time.Time{}
	}
	if err := s.trimTails(ctx); err != nil {
		return err
	}
	if err := s.scrubRows(ctx, since); err != nil {
		return err
	}
	waiting, err := s.cfg.Store.CountUnscrubbed(ctx)
	if err != nil {
		return err
	}
	if all || waiting > 0 {
		if err := s.scrubDeadLetters(ctx); err != nil {
			return err
		}
		if waiting, err = s.cfg.Store.MarkScrubbed(ctx); err != nil {
			return err
		}
	}
	s.waiting.Set(float64(waiting))
	if all {
		s.allAt = began
	}
	return nil
}

// scrubRows removes the names of users whose accounts were deleted after the given time or are not
// yet marked as scrubbed.
func (s *Scrubber) scrubRows(ctx context.Context, since time.Time) error {
	for {
		users, err := s.cfg.Store.UsersToScrub(ctx, since, usersPerQuery)
		if err != nil {
			return err
		}
		removed := 0
		for _, user := range users {
			for {
				channels, err := s.cfg.Store.RemoveName(ctx, user, s.cfg.Batch)
				for _, ch := range channels {
					s.tails[ch] = struct{}{}
				}
				if err != nil {
					return err
				}
				s.rows.Add(float64(len(channels)))
				if removed += len(channels); len(channels) == 0 {
					break
				}
				if err := pause(ctx); err != nil {
					return err
				}
			}
		}
		if removed == 0 { // no names are left, or other transactions hold locks on the rows
			return nil
		}
	}
}

// trimTails removes the stored items from the tails of the channels whose rows were changed.
func (s *Scrubber) trimTails(ctx context.Context) error {
	if len(s.tails) == 0 {
		return nil
	}
	if err := consumer.TrimTails(ctx, s.cfg.Redis, s.cfg.Store, s.cfg.Partitions, slices.Collect(maps.Keys(s.tails))); err != nil {
		return err
	}
	clear(s.tails)
	return nil
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(batchPause):
		return nil
	}
}

// scrubDeadLetters removes names from the dead letters.
func (s *Scrubber) scrubDeadLetters(ctx context.Context) error {
	letters := map[chat.UserID][]deadletter.Letter{}
	flush := func() error {
		users := make([]chat.UserID, 0, len(letters))
		for user := range letters {
			users = append(users, user)
		}
		erased, err := s.cfg.Store.Erased(ctx, users)
		if err != nil {
			return err
		}
		for _, user := range erased {
			for _, l := range letters[user] {
				done, err := deadletter.RemoveName(ctx, s.cfg.Redis, l)
				if err != nil {
					return err
				}
				if done {
					s.letters.Inc()
				}
			}
		}
		clear(letters)
		return nil
	}
	n := 0
	err := deadletter.Each(ctx, s.cfg.Redis, s.cfg.Partitions, func(l deadletter.Letter) error {
		user, ok := l.NamedUser()
		if !ok {
			return nil
		}
		letters[user] = append(letters[user], l)
		if n++; n%deadLettersPerBatch != 0 {
			return nil
		}
		return flush()
	})
	if err != nil || len(letters) == 0 {
		return err
	}
	return flush()
}

// deadLettersPerBatch is the maximum number of dead letters held in memory.
const deadLettersPerBatch = 500

// Package erasure takes the names of users who have deleted their accounts out of what sync-service has written:
// the rows of the event log, the dead letters, and the tails of the channels. Readers leave the names out in the
// time until then.
//
// It works in small batches and keeps no position: a row without a name is not found again, so it may be
// interrupted at any time, and any number of instances may run. What is stored after a deletion, because it waited in a stream or
// was a dead letter, is found by looking again.
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

// Config configures a Scrubber. A zero optional field means its default.
type Config struct {
	Redis      redis.UniversalClient // required, as are the next three
	Store      Store
	Partitions int
	Registry   prometheus.Registerer

	Every     time.Duration // default 5s: from look to look for the names of accounts that were deleted lately
	AllEvery  time.Duration // default 1h: from look to look for all names, and through the dead letters
	Retention time.Duration // default 72h: for how long entries of a deleted account may wait in the streams
	Batch     int           // default 500: rows of one transaction
	Logger    *slog.Logger  // default slog.Default()
}

// Store is the part of store.Store that a Scrubber needs.
type Store interface {
	Named(ctx context.Context, since time.Time, limit int) ([]chat.UserID, error)
	Erased(ctx context.Context, users []chat.UserID) ([]chat.UserID, error)
	Unname(ctx context.Context, user chat.UserID, limit int) (channels []chat.ChannelID, err error)
	Waiting(ctx context.Context) (int, error)
	Scrubbed(ctx context.Context) (remaining int, err error)
	consumer.Watermarks
}

const (
	usersPerLook = 100
	// batchPause lets other work go first.
	batchPause = 20 * time.Millisecond
	// passTimeout bounds a pass; what it has not done the next one does.
	passTimeout = 5 * time.Minute
)

// Scrubber scrubs. Construct it, then Run it.
type Scrubber struct {
	cfg     Config
	outage  *outage.Log
	rows    prometheus.Counter
	letters prometheus.Counter
	waiting prometheus.Gauge
	allAt   time.Time // when the last pass over everything began
	// tails are the channels whose tails have to be cut, one pass after their rows: what was just stored cannot be
	// cut yet. A tail that is forgotten, by a restart, loses its old items by itself.
	tails map[chat.ChannelID]struct{}
}

// New checks cfg. It does no I/O and starts nothing.
func New(cfg Config) (*Scrubber, error) {
	if cfg.Redis == nil || cfg.Store == nil || cfg.Partitions < 1 || cfg.Registry == nil {
		return nil, errors.New("erasure: a required field of Config is missing")
	}
	cfg.Every, cfg.AllEvery = cmp.Or(cfg.Every, 5*time.Second), cmp.Or(cfg.AllEvery, time.Hour)
	cfg.Retention, cfg.Batch = cmp.Or(cfg.Retention, 72*time.Hour), cmp.Or(cfg.Batch, 500)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	with := promauto.With(cfg.Registry)
	return &Scrubber{
		cfg: cfg, tails: map[chat.ChannelID]struct{}{}, outage: outage.New(cfg.Logger, "names of deleted accounts wait to be removed", "names of deleted accounts are removed again"),
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

// Run scrubs until ctx is done. Outages of PostgreSQL and Redis are waited out.
func (s *Scrubber) Run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.Every)
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

// pass removes what it finds. Most passes find nothing, which costs two reads of an index.
func (s *Scrubber) pass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	began := time.Now()
	since, all := began.Add(-s.cfg.Retention-time.Hour), began.Sub(s.allAt) >= s.cfg.AllEvery
	if all {
		since = time.Time{}
	}
	if err := s.cutTails(ctx); err != nil {
		return err
	}
	if err := s.scrubRows(ctx, since); err != nil {
		return err
	}
	waiting, err := s.cfg.Store.Waiting(ctx)
	if err != nil {
		return err
	}
	if all || waiting > 0 {
		if err := s.scrubLetters(ctx); err != nil {
			return err
		}
		if waiting, err = s.cfg.Store.Scrubbed(ctx); err != nil {
			return err
		}
	}
	s.waiting.Set(float64(waiting))
	if all {
		s.allAt = began
	}
	return nil
}

// scrubRows removes the names of users whose accounts were deleted after a time, and of all that still wait.
func (s *Scrubber) scrubRows(ctx context.Context, since time.Time) error {
	for {
		users, err := s.cfg.Store.Named(ctx, since, usersPerLook)
		if err != nil {
			return err
		}
		removed := 0
		for _, user := range users {
			for {
				channels, err := s.cfg.Store.Unname(ctx, user, s.cfg.Batch)
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
				if err := rest(ctx); err != nil {
					return err
				}
			}
		}
		if removed == 0 { // nothing is left, or others have it locked
			return nil
		}
	}
}

// cutTails removes what is stored from the tails of the channels in which names were removed from rows.
func (s *Scrubber) cutTails(ctx context.Context) error {
	if len(s.tails) == 0 {
		return nil
	}
	if err := consumer.CutTails(ctx, s.cfg.Redis, s.cfg.Store, s.cfg.Partitions, slices.Collect(maps.Keys(s.tails))); err != nil {
		return err
	}
	clear(s.tails)
	return nil
}

func rest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(batchPause):
		return nil
	}
}

// scrubLetters removes names from the dead letters.
func (s *Scrubber) scrubLetters(ctx context.Context) error {
	letters := map[chat.UserID][]deadletter.Letter{}
	some := func() error {
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
				done, err := deadletter.Unname(ctx, s.cfg.Redis, l)
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
		user, ok := l.Named()
		if !ok {
			return nil
		}
		letters[user] = append(letters[user], l)
		if n++; n%lettersPerLook != 0 {
			return nil
		}
		return some()
	})
	if err != nil || len(letters) == 0 {
		return err
	}
	return some()
}

// lettersPerLook bounds the letters in memory.
const lettersPerLook = 500

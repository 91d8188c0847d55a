// Package streamworker is the common base of the workers that store the entries of partitioned
// streams. It contains the settings of a consumer, a loop that restarts after an error, retries,
// periodic tasks, and the maintenance of the consumer groups. A worker stores entries first and
// acknowledges them afterward, so entries that could not be stored stay pending.
//
// The package starts no goroutines. The methods of a Worker may be called concurrently.
package streamworker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/platform/backoff"
	"parley.chat/internal/platform/outage"
	"parley.chat/sync-service/internal/entryid"
)

// Config configures a Worker. If an optional field is zero, its default is used.
type Config struct {
	// Name is the name of this consumer in the group. It is required, unique among the instances,
	// and the same after a restart so that the consumer finds its pending entries.
	Name       string
	Partitions int // required

	ClaimIdle      time.Duration // default 10s: idle time after which another consumer's pending entries are claimed
	ClaimInterval  time.Duration // default a fifth of ClaimIdle
	ConsumerExpiry time.Duration // default 5m: idle time after which a consumer without pending entries is removed

	RetryMin, RetryMax time.Duration // default 100ms, 5s: limits of the retry backoff

	Logger  *slog.Logger
	Outages *outage.Log // log of outages, shared by all Workers of a program; default: a new log that uses Logger
}

// SetDefaults sets the optional fields that are zero.
func (c *Config) SetDefaults() {
	c.ClaimIdle = cmp.Or(c.ClaimIdle, 10*time.Second)
	c.ClaimInterval, c.ConsumerExpiry = cmp.Or(c.ClaimInterval, c.ClaimIdle/5), cmp.Or(c.ConsumerExpiry, 5*time.Minute)
	c.RetryMin, c.RetryMax = cmp.Or(c.RetryMin, 100*time.Millisecond), cmp.Or(c.RetryMax, 5*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.Outages = cmp.Or(c.Outages, outage.New(c.Logger, "storing is interrupted", "storing resumed"))
}

// Streams describes the streams of a Worker, one per partition.
type Streams struct {
	Key func(partition int) string
	// Start returns the id at which a new consumer group begins. Every entry at or below this id
	// must be stored. If Start is nil, the group begins at the start of the stream.
	Start func(ctx context.Context, partition int) (entryid.ID, error)
	// StepPrefix is prepended to the names of this Worker's steps, such as "read" and "ack", in the
	// log of outages.
	StepPrefix string
	// Retries counts the failed attempts by step.
	Retries *prometheus.CounterVec
}

// Worker is one consumer in the consumer groups of its streams.
type Worker struct {
	rdb     redis.UniversalClient
	streams Streams
	cfg     Config
}

// New checks cfg and applies its defaults. It does no I/O. The caller keeps ownership of the
// client.
func New(rdb redis.UniversalClient, streams Streams, cfg Config) (*Worker, error) {
	if cfg.Name == "" || cfg.Partitions < 1 || streams.Key == nil || streams.Retries == nil {
		return nil, errors.New("stream worker: Name, Partitions, Key and Retries are required")
	}
	cfg.SetDefaults()
	return &Worker{rdb: rdb, streams: streams, cfg: cfg}, nil
}

// ErrStopped means that the current entries stay pending because the program is shutting down.
var ErrStopped = errors.New("stopped while a store could not be reached")

const readStep = "read"

// Run calls consume repeatedly, with a backoff after each error, until ctx is done or consume
// returns nil or ErrStopped. consume must begin with the entries pending for this consumer, because
// the entries of a lost reply are only in the pending list. Once these entries are stored, consume
// calls caughtUp, which marks the end of an outage. attrs are added to the log messages about an
// outage.
func (w *Worker) Run(ctx context.Context, consume func(ctx context.Context, caughtUp func()) error, attrs ...any) {
	retry := w.backoff()
	caughtUp := func() {
		retry.Reset()
		w.worked(ctx, readStep)
	}
	for ctx.Err() == nil {
		err := consume(ctx, caughtUp)
		if err == nil || errors.Is(err, ErrStopped) || ctx.Err() != nil {
			return
		}
		w.failed(ctx, readStep, err, append(attrs, "tries", retry.Tries+1)...)
		retry.Wait(ctx)
	}
}

// Retry calls f until it succeeds. Once ctx is canceled, it does not retry after a failure and
// returns ErrStopped.
func (w *Worker) Retry(ctx context.Context, step string, f func(context.Context) error) error {
	if err := w.backoff().Retry(ctx, f, func(tries int, err error) { w.failed(ctx, step, err, "tries", tries) }); err != nil {
		return fmt.Errorf("%w: %w", ErrStopped, err)
	}
	w.worked(ctx, step)
	return nil
}

func (w *Worker) backoff() *backoff.Backoff {
	return &backoff.Backoff{Min: w.cfg.RetryMin, Max: w.cfg.RetryMax}
}

func (w *Worker) failed(ctx context.Context, step string, err error, attrs ...any) {
	w.streams.Retries.WithLabelValues(step).Inc()
	w.cfg.Outages.Failed(ctx, w.streams.StepPrefix+step, err, attrs...)
}

func (w *Worker) worked(ctx context.Context, step string) {
	w.cfg.Outages.Worked(ctx, w.streams.StepPrefix+step)
}

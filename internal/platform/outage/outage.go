// Package outage logs a lasting failure in a few lines instead of one line per failed attempt: one
// when the failure begins, one a minute while it lasts, and one when it ends.
package outage

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// interval is the time between two lines about a lasting failure.
const interval = time.Minute

// Log logs one kind of outage, such as a store that cannot be reached. An outage may affect several
// parts of a program. It begins when the first part fails and ends when every failed part has
// recovered. A Log starts no goroutine; the lines are written by the calls that report attempts. It
// is safe for concurrent use.
type Log struct {
	log          *slog.Logger
	begins, ends string

	failing atomic.Int32 // len(parts), atomic so that Worked is cheap while nothing fails

	// mu guards the fields below. It is held while a line is written, so that lines stay in order.
	mu       sync.Mutex
	parts    map[string]struct{} // parts whose most recent attempt failed
	failures int                 // number of failed attempts since the outage began
	began    time.Time           // when the outage began, whether logged or only counted
	logged   time.Time           // when the last line about a failure was written
	shown    bool                // the outage was logged, so its end must also be logged
}

// New returns a Log that writes to log. begins is the message during an outage; ends is the message
// when it is over.
func New(log *slog.Logger, begins, ends string) *Log {
	return &Log{log: log, begins: begins, ends: ends, parts: map[string]struct{}{}}
}

// Failed records that an attempt by part failed with err. part names one of a few steps and may be
// empty. If an outage recurs within a minute of the last line, its failures are only counted, and
// it is logged once that minute is over.
func (l *Log) Failed(ctx context.Context, part string, err error, attrs ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.failures == 0 {
		l.began = now
	}
	l.failures++
	l.parts[part] = struct{}{}
	l.failing.Store(int32(len(l.parts)))
	if !l.logged.IsZero() && now.Sub(l.logged) < interval {
		return
	}
	l.logged, l.shown = now, true
	l.log.WarnContext(ctx, l.begins, append(l.attrs(now), append(attrs, "err", err)...)...) //nolint:sloglint // the messages given to New are constants
}

// Worked records that an attempt by part succeeded. It is cheap while nothing fails.
func (l *Log) Worked(ctx context.Context, part string) {
	if l.failing.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, failed := l.parts[part]; !failed {
		return
	}
	attrs := l.attrs(time.Now())
	delete(l.parts, part)
	l.failing.Store(int32(len(l.parts)))
	if len(l.parts) > 0 || !l.shown {
		return
	}
	l.shown, l.failures = false, 0
	l.log.InfoContext(ctx, l.ends, attrs...) //nolint:sloglint // the messages given to New are constants
}

// attrs returns the attributes for a line. The lock must be held.
func (l *Log) attrs(now time.Time) []any {
	attrs := []any{"failures", l.failures, "lasting", now.Sub(l.began).Round(time.Millisecond)}
	if steps := slices.Sorted(maps.Keys(l.parts)); len(steps) > 1 || steps[0] != "" {
		attrs = append(attrs, "steps", steps)
	}
	return attrs
}

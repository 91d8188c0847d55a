// Package outage logs a lasting failure in a few lines instead of one line per failed attempt. It
// logs one line when the failure begins, one line per minute while it lasts, and one line when it
// ends.
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

// interval is the minimum time between two lines about a lasting failure.
const interval = time.Minute

// Log logs one kind of outage, such as a store that cannot be reached. An outage may affect several
// parts of a program. It begins when the first part fails and ends when every failed part has
// recovered. A Log starts no goroutine; the lines are written by the calls that report attempts. It
// is safe for concurrent use.
type Log struct {
	log          *slog.Logger
	begins, ends string

	failing atomic.Int32 // number of failing parts; atomic, so that Worked needs no lock while nothing fails

	// mu guards the fields below. It is held while a line is written, so that lines stay in order.
	mu       sync.Mutex
	parts    map[string]struct{} // parts whose most recent attempt failed
	failures int                 // number of failed attempts since the outage began
	began    time.Time           // when the outage began, even if it has not been logged
	logged   time.Time           // when the last line about a failure was written
	shown    bool                // whether the outage was logged; if so, its end must also be logged
}

// New returns a Log that writes to log. begins is the message that is logged during an outage; ends
// is the message that is logged at its end.
func New(log *slog.Logger, begins, ends string) *Log {
	return &Log{log: log, begins: begins, ends: ends, parts: map[string]struct{}{}}
}

// Failed records that an attempt by part failed with err. part is one of a small number of names
// and may be empty. If another outage begins within a minute of the last line, Failed only counts
// the failures. It logs the outage once that minute is over, if the outage still lasts.
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

// attrs returns the log attributes of the outage: the number of failures, its duration and the
// affected parts. The lock must be held.
func (l *Log) attrs(now time.Time) []any {
	attrs := []any{"failures", l.failures, "lasting", now.Sub(l.began).Round(time.Millisecond)}
	if steps := slices.Sorted(maps.Keys(l.parts)); len(steps) > 1 || steps[0] != "" {
		attrs = append(attrs, "steps", steps)
	}
	return attrs
}

// Package outage logs trouble that lasts with a few lines: one when it begins, one a minute while it
// lasts, and one when it ends, instead of one per failed attempt.
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

// interval is the time between two lines about trouble that lasts.
const interval = time.Minute

// Log logs one kind of trouble, such as a store that cannot be reached. The trouble may show in several
// parts of a program's work. It begins with the first part that fails and ends when every part that
// failed has worked again. A Log starts no goroutine: lines are written by the calls that report
// failures. It is safe for concurrent use.
type Log struct {
	log          *slog.Logger
	begins, ends string

	failing atomic.Int32 // len(parts), so that Worked costs nothing while all is well

	mu       sync.Mutex          // guards what follows; held while a line is written, so lines keep their order
	parts    map[string]struct{} // parts that failed last
	failures int                 // since the trouble began
	began    time.Time           // of the trouble that was logged or counted first
	logged   time.Time           // when the last line about a failure was written
	shown    bool                // a line tells of this trouble, so one has to tell of its end
}

// New returns a Log that writes to log. begins is the message while the trouble lasts, ends the message
// when it is over.
func New(log *slog.Logger, begins, ends string) *Log {
	return &Log{log: log, begins: begins, ends: ends, parts: map[string]struct{}{}}
}

// Failed records that an attempt of part failed with err. Part names one of few steps; it may be empty.
// Trouble that returns within a minute of its last line is counted, and logged when the minute is over.
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

// Worked records that an attempt of part succeeded. It is cheap while nothing fails.
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

// attrs returns what every line says. The lock is held.
func (l *Log) attrs(now time.Time) []any {
	attrs := []any{"failures", l.failures, "lasting", now.Sub(l.began).Round(time.Millisecond)}
	if steps := slices.Sorted(maps.Keys(l.parts)); len(steps) > 1 || steps[0] != "" {
		attrs = append(attrs, "steps", steps)
	}
	return attrs
}

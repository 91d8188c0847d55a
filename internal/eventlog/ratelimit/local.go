package ratelimit

import (
	"sync"
	"time"

	"parley.chat/internal/platform/config"
)

// MaxLocal is the maximum number of limits that one process counts locally. While that many are in
// use, writes that need another one are refused. This bounds the memory use without exceeding any
// limit.
const MaxLocal = 100_000

// local counts writes in memory while Redis is not responding. It uses the same algorithm as
// take.lua.
type local struct {
	mu    sync.Mutex
	whole map[Use]time.Time // when each limit is full again
}

func (l *local) take(u Use, rate config.Rate, now time.Time) outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	each := rate.Per / time.Duration(rate.Count)
	window := each * time.Duration(rate.Count)
	whole, known := l.whole[u]
	if whole.Before(now) {
		whole = now
	}
	used := whole.Add(each).Sub(now)
	if used > window {
		return outcome{reset: whole.Sub(now), retry: max(time.Millisecond, used-window)}
	}
	if !known && !l.roomLocked(now) {
		return outcome{reset: each, retry: each}
	}
	l.whole[u] = now.Add(used)
	return outcome{granted: true, left: int((window - used) / each), reset: used}
}

// giveBack returns one token to a limit. each is the time that it takes to refill one token.
func (l *local) giveBack(u Use, each time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if whole, known := l.whole[u]; known {
		l.whole[u] = whole.Add(-each)
	}
}

// forget resets a limit to full.
func (l *local) forget(u Use) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.whole, u)
}

// roomLocked reports whether there is room for one more limit. If necessary, it first removes the
// limits that have refilled completely.
func (l *local) roomLocked(now time.Time) bool {
	if l.whole == nil {
		l.whole = make(map[Use]time.Time)
	}
	if len(l.whole) < MaxLocal {
		return true
	}
	for u, whole := range l.whole {
		if !whole.After(now) {
			delete(l.whole, u)
		}
	}
	return len(l.whole) < MaxLocal
}

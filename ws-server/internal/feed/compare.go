package feed

import (
	"context"
	"time"

	"parley.chat/shared-contracts/chat"
)

const (
	storedTimeout = time.Second      // for PostgreSQL: without an answer the counters of Redis stand
	storedAgain   = 30 * time.Second // after PostgreSQL gave no answer
)

// newestRows returns how far channels are stored, or nil if PostgreSQL gives no answer. Then the channels begin by
// what Redis says, and are compared later.
func (f *Feed) newestRows(ctx context.Context, ids []chat.ChannelID) []int64 {
	if f.cfg.Stored == nil {
		return nil
	}
	f.mu.Lock()
	ask := !time.Now().Before(f.askAgain)
	f.mu.Unlock()
	if ask {
		ctx, cancel := context.WithTimeout(ctx, storedTimeout)
		defer cancel()
		seqs, err := f.cfg.Stored.Seqs(ctx, ids)
		if err == nil {
			return seqs
		}
		f.cfg.Logger.Warn("counters not compared with PostgreSQL, trying later", "channels", len(ids), "err", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if ask {
		f.askAgain = time.Now().Add(storedAgain)
	}
	for _, id := range ids {
		f.uncompared[id] = struct{}{}
	}
	return nil
}

// compareAgain has channels looked at that could not be compared, once PostgreSQL may be asked again.
func (f *Feed) compareAgain(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.uncompared) == 0 || now.Before(f.askAgain) {
		return
	}
	for id := range f.uncompared {
		f.toCheck[id] = struct{}{}
	}
	clear(f.uncompared)
	f.wakeHeads()
}

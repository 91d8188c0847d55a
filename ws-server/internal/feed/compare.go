package feed

import (
	"context"
	"time"

	"parley.chat/shared-contracts/chat"
)

const (
	// storedTimeout limits the PostgreSQL query for each channel's highest stored seq. If the query
	// fails, the counters in Redis are used.
	storedTimeout    = time.Second
	storedRetryAfter = 30 * time.Second // delay before the next query if PostgreSQL did not respond
)

// storedSeqs returns the highest stored seq of each channel, or nil if PostgreSQL does not respond.
// In that case the channels start from the counters in Redis, which are compared with PostgreSQL
// later.
func (f *Feed) storedSeqs(ctx context.Context, ids []chat.ChannelID) []int64 {
	if f.cfg.Stored == nil {
		return nil
	}
	f.mu.Lock()
	ask := !time.Now().Before(f.askStoredAt)
	f.mu.Unlock()
	if ask {
		ctx, cancel := context.WithTimeout(ctx, storedTimeout)
		defer cancel()
		seqs, err := f.cfg.Stored.Seqs(ctx, ids)
		if err == nil {
			return seqs
		}
		f.cfg.Logger.Warn("failed to compare counters with PostgreSQL, retrying later", "channels", len(ids), "err", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if ask {
		f.askStoredAt = time.Now().Add(storedRetryAfter)
	}
	for _, id := range ids {
		f.uncompared[id] = struct{}{}
	}
	return nil
}

// compareAgain does nothing until PostgreSQL may be queried again after a failure. Then it
// schedules a check of the channels whose counters could not be compared with PostgreSQL.
func (f *Feed) compareAgain(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.uncompared) == 0 || now.Before(f.askStoredAt) {
		return
	}
	for id := range f.uncompared {
		f.toCheck[id] = struct{}{}
	}
	clear(f.uncompared)
	f.wakeChecker()
}

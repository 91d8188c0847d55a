// Package revoked marks sessions that ended before the last access token that they gave out. A mark
// lives in Redis for as long as such a token could; services that see tokens look for it.
package revoked

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

const (
	// patience bounds a look for a mark: it stands before every answer.
	patience = 250 * time.Millisecond
	// quiet is how long one warning counts for all.
	quiet = 10 * time.Second
)

// Marks sets marks and finds them. It is safe for concurrent use.
type Marks struct {
	rdb        redis.UniversalClient
	partitions int
	ttl        time.Duration
	log        *slog.Logger
	warned     atomic.Int64 // when, in Unix nanoseconds
}

// New returns the marks in rdb. ttl is the longest that an access token lives, leeway included.
func New(rdb redis.UniversalClient, partitions int, ttl time.Duration, log *slog.Logger) *Marks {
	return &Marks{rdb: rdb, partitions: partitions, ttl: ttl, log: log}
}

func (m *Marks) key(user chat.UserID, session chat.SessionID) string {
	return rediskey.UserRevoked(rediskey.Of(user.UUID, m.partitions), user, session)
}

// Set marks sessions of a user.
func (m *Marks) Set(ctx context.Context, user chat.UserID, sessions ...chat.SessionID) error {
	_, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, id := range sessions {
			p.Set(ctx, m.key(user, id), 1, m.ttl)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("mark %d sessions as revoked: %w", len(sessions), err)
	}
	return nil
}

// Has reports whether a session is marked. When Redis does not answer it says no: tokens are short,
// and the alternative is that nobody gets in.
func (m *Marks) Has(ctx context.Context, user chat.UserID, session chat.SessionID) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	n, err := m.rdb.Exists(ctx, m.key(user, session)).Result()
	if err != nil {
		now := time.Now().UnixNano()
		if last := m.warned.Load(); now-last > int64(quiet) && m.warned.CompareAndSwap(last, now) {
			m.log.WarnContext(ctx, "revoked sessions cannot be told: tokens are good until they end", "err", err)
		}
		return false
	}
	return n > 0
}

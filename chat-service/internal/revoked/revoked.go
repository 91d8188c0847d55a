// Package revoked marks sessions that ended before their last access token expired. A mark stays in
// Redis as long as an access token of its session could still be valid, and services check for it
// when they verify a token. While Redis does not respond, the package queries PostgreSQL, which
// stores every session.
package revoked

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"

	"parley.chat/internal/platform/outage"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

const (
	// redisTimeout limits the duration of a lookup in Redis, because every authenticated response
	// waits for it.
	redisTimeout = 250 * time.Millisecond
	// redisBackoff is how long the package queries only PostgreSQL after Redis has failed to
	// respond. It is longer than the outbox relay's maximum retry delay. Sessions that end during
	// the outage are therefore marked before Redis is queried again.
	redisBackoff = 10 * time.Second
)

// Marks records in Redis which sessions have ended, and checks whether a session has ended. It is
// safe for concurrent use.
type Marks struct {
	rdb        redis.UniversalClient
	db         *bun.DB
	partitions int
	ttl        time.Duration
	outage     *outage.Log
	failedAt   atomic.Int64 // when Redis last failed to respond, in Unix nanoseconds
}

// New returns a Marks that uses rdb and, while Redis does not respond, the sessions in db. ttl is
// the maximum lifetime of an access token, including clock leeway.
func New(rdb redis.UniversalClient, db *bun.DB, partitions int, ttl time.Duration, log *slog.Logger) *Marks {
	return &Marks{
		rdb: rdb, db: db, partitions: partitions, ttl: ttl,
		outage: outage.New(log, "Redis does not answer, checking ended sessions in PostgreSQL", "checking ended sessions in Redis again"),
	}
}

func (m *Marks) key(user chat.UserID, session chat.SessionID) string {
	return rediskey.UserRevoked(rediskey.Of(user.UUID, m.partitions), user, session)
}

// Set marks a user's sessions as ended.
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

// Ended reports whether a session has ended. It returns an error if ctx was canceled, or if neither
// Redis nor PostgreSQL responded.
func (m *Marks) Ended(ctx context.Context, user chat.UserID, session chat.SessionID) (bool, error) {
	if time.Since(time.Unix(0, m.failedAt.Load())) >= redisBackoff {
		marked, err := m.marked(ctx, user, session)
		if err == nil {
			m.outage.Worked(ctx, "")
			return marked, nil
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return false, err // the client has disconnected, which does not mean that Redis has failed
		}
		m.failedAt.Store(time.Now().UnixNano())
		m.outage.Failed(ctx, "", err)
	}
	return m.stored(ctx, user, session)
}

func (m *Marks) marked(ctx context.Context, user chat.UserID, session chat.SessionID) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	n, err := m.rdb.Exists(ctx, m.key(user, session)).Result()
	if err != nil {
		return false, fmt.Errorf("look up the mark of a session: %w", err)
	}
	return n > 0, nil
}

// stored checks in PostgreSQL whether a session has ended. If the session has no row, it ended
// earlier and its row was deleted.
func (m *Marks) stored(ctx context.Context, user chat.UserID, session chat.SessionID) (ended bool, err error) {
	err = m.db.NewRaw("select not exists (select from sessions where id = ? and user_id = ? and revoked_at is null)", session, user).
		Scan(ctx, &ended)
	if err != nil {
		return false, fmt.Errorf("check whether a session has ended: %w", err)
	}
	return ended, nil
}

// Package revoked marks sessions that ended before the last access token that they gave out. A mark
// lives in Redis for as long as such a token could; services that see tokens look for it. While Redis does
// not answer, PostgreSQL is asked, which knows every session.
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

	"parley.chat/internal/outage"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

const (
	// redisTimeout bounds a look for a mark: it stands before every answer.
	redisTimeout = 250 * time.Millisecond
	// awayFor is how long PostgreSQL is asked after Redis did not answer. It is longer than the outbox's relay
	// pauses, so that the sessions that ended during the outage are marked when Redis is asked again.
	awayFor = 10 * time.Second
)

// Marks sets marks and finds them. It is safe for concurrent use.
type Marks struct {
	rdb        redis.UniversalClient
	db         *bun.DB
	partitions int
	ttl        time.Duration
	outage     *outage.Log
	away       atomic.Int64 // when Redis last did not answer, in Unix nanoseconds
}

// New returns the marks in rdb of the sessions in db. ttl is the longest that an access token lives, leeway
// included.
func New(rdb redis.UniversalClient, db *bun.DB, partitions int, ttl time.Duration, log *slog.Logger) *Marks {
	return &Marks{
		rdb: rdb, db: db, partitions: partitions, ttl: ttl,
		outage: outage.New(log, "PostgreSQL is asked for ended sessions: Redis does not answer", "Redis is asked for ended sessions again"),
	}
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

// Ended reports whether a session has ended. An error means that neither store answered.
func (m *Marks) Ended(ctx context.Context, user chat.UserID, session chat.SessionID) (bool, error) {
	if time.Since(time.Unix(0, m.away.Load())) >= awayFor {
		marked, err := m.marked(ctx, user, session)
		if err == nil {
			m.outage.Worked(ctx, "")
			return marked, nil
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return false, err // the client has gone, which says nothing about Redis
		}
		m.away.Store(time.Now().UnixNano())
		m.outage.Failed(ctx, "", err)
	}
	return m.stored(ctx, user, session)
}

func (m *Marks) marked(ctx context.Context, user chat.UserID, session chat.SessionID) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	n, err := m.rdb.Exists(ctx, m.key(user, session)).Result()
	if err != nil {
		return false, fmt.Errorf("look for the mark of a session: %w", err)
	}
	return n > 0, nil
}

// stored reads from PostgreSQL whether a session has ended. One that is not there ended long ago.
func (m *Marks) stored(ctx context.Context, user chat.UserID, session chat.SessionID) (ended bool, err error) {
	err = m.db.NewRaw("select not exists (select from sessions where id = ? and user_id = ? and revoked_at is null)", session, user).
		Scan(ctx, &ended)
	if err != nil {
		return false, fmt.Errorf("read whether a session has ended: %w", err)
	}
	return ended, nil
}

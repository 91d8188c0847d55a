// Package revoked finds sessions that were ended before their tokens expired. chat-service sets a
// mark in Redis for each of them. The notice that a session has ended may get lost, but the mark
// does not.
package revoked

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

// Login is a session and the user it belongs to.
type Login struct {
	User    chat.UserID
	Session chat.SessionID
}

// Marks reads from Redis which users and sessions have been revoked. It is safe for concurrent use.
type Marks struct {
	rdb        redis.UniversalClient
	partitions int
}

// New returns the marks in rdb.
func New(rdb redis.UniversalClient, partitions int) *Marks { return &Marks{rdb, partitions} }

// Revoked returns the logins whose sessions are marked as revoked. It needs one round trip.
func (m *Marks) Revoked(ctx context.Context, logins []Login) ([]Login, error) {
	if len(logins) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	replies := make([]*redis.IntCmd, len(logins))
	_, err := m.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, l := range logins {
			replies[i] = pipe.Exists(ctx, rediskey.UserRevoked(rediskey.Of(l.User.UUID, m.partitions), l.User, l.Session))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the revocation marks of %d sessions: %w", len(logins), err)
	}
	var marked []Login
	for i, r := range replies {
		if r.Val() > 0 {
			marked = append(marked, logins[i])
		}
	}
	return marked, nil
}

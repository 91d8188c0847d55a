package ratelimit

import (
	"context"
	_ "embed"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
)

//go:embed return.lua
var returnSource string

var returnScript = redis.NewScript(returnSource)

// Return gives back the token that Take took for each use. It waits at most one second for each
// answer from Redis. If Redis does not answer, tokens are not given back, and the limits refill at
// the normal rate.
func (l *Limiter) Return(ctx context.Context, uses ...Use) {
	for _, u := range uses {
		if rate, ok := l.rateOf(u.Kind); ok && rate.Count > 0 {
			each := rate.Per / time.Duration(rate.Count)
			l.local.giveBack(u, each)
			l.undo(ctx, func(ctx context.Context) error {
				return returnScript.Run(ctx, l.rdb, []string{rediskey.Limit(string(u.Kind), u.Subject)}, each.Milliseconds()).Err()
			})
		}
	}
}

// Forget resets the limit of each use to full. It waits at most one second for each answer from
// Redis.
func (l *Limiter) Forget(ctx context.Context, uses ...Use) {
	for _, u := range uses {
		l.local.forget(u)
		l.undo(ctx, func(ctx context.Context) error {
			return l.rdb.Del(ctx, rediskey.Limit(string(u.Kind), u.Subject)).Err()
		})
	}
}

// undo runs a command that puts a token back or resets a limit in Redis. It does nothing if Redis
// failed to answer less than awayFor ago.
func (l *Limiter) undo(ctx context.Context, ask func(context.Context) error) {
	if l.rdb == nil || time.Since(time.Unix(0, l.away.Load())) < awayFor {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeTimeout)
	defer cancel()
	if err := ask(ctx); err != nil {
		l.noteAway(ctx, err)
	}
}

package ratelimit

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/redisscript"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/rediskey"
)

//go:embed take.lua
var takeSource string

var takeScript = redis.NewScript(takeSource)

const (
	// takeTimeout limits how long a write waits for Redis.
	takeTimeout = time.Second
	// awayFor is the time for which this process counts locally after Redis failed to answer.
	awayFor = 2 * time.Second
)

// State is the state of one limit after a write.
type State struct {
	Kind  Kind
	Rate  config.Rate
	Left  int
	Reset time.Duration // time until the limit is full again or, if the write was refused, until a write is allowed
}

// Take takes one token for each use, in one round trip to Redis. It returns the state of each
// limit, and an *apierr.Error with the code RateLimited if a limit is used up. It takes no token
// for a use whose limit is disabled.
//
// While Redis is not responding, this process counts locally with the same limits. During that
// time, a user whose requests reach n instances gets at most n times the limit. Take waits at most
// one second for Redis.
func (l *Limiter) Take(ctx context.Context, uses ...Use) ([]State, error) {
	states := make([]State, 0, len(uses))
	counted := make([]Use, 0, len(uses))
	for _, u := range uses {
		rate, ok := l.rateOf(u.Kind)
		if !ok {
			return nil, fmt.Errorf("take a token of %q: Take does not limit this kind", u.Kind)
		}
		if rate.Count > 0 {
			states, counted = append(states, State{Kind: u.Kind, Rate: rate}), append(counted, u)
		}
	}
	if len(counted) == 0 {
		return nil, nil
	}
	answers, err := l.askRedis(ctx, counted, states)
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err() // the caller has stopped waiting
		}
		answers = l.askLocal(counted, states)
	}
	var refused *apierr.Error
	for i, a := range answers {
		states[i].Left, states[i].Reset = a.left, a.reset
		if a.granted {
			continue
		}
		states[i].Reset = a.retry
		if refused == nil || a.retry > refused.RetryAfter {
			refused = &apierr.Error{
				Code: apierr.RateLimited, RetryAfter: a.retry,
				Message: fmt.Sprintf("The rate limit %q is used up (%d in %s). Please try again later.",
					states[i].Kind, states[i].Rate.Count, apierr.Duration(states[i].Rate.Per)),
			}
		}
	}
	if refused != nil {
		return states, refused
	}
	return states, nil
}

// rateOf returns the limit for a kind.
func (l *Limiter) rateOf(kind Kind) (config.Rate, bool) {
	if rate, ok := l.cfg.Own[kind]; ok {
		return rate, true
	}
	return l.cfg.Rates.Of(kind)
}

// outcome is the result of one use.
type outcome struct {
	granted      bool
	left         int
	reset, retry time.Duration
}

var errAway = errors.New("redis did not answer a moment ago")

func (l *Limiter) askRedis(ctx context.Context, uses []Use, states []State) ([]outcome, error) {
	if l.rdb == nil || time.Since(time.Unix(0, l.away.Load())) < awayFor {
		return nil, errAway
	}
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	calls := make([]*redisscript.Call, len(uses))
	for i, u := range uses {
		calls[i] = &redisscript.Call{
			Script: takeScript, Keys: []string{rediskey.Limit(string(u.Kind), u.Subject)},
			Args: []any{states[i].Rate.Count, states[i].Rate.Per.Milliseconds()},
		}
	}
	err := redisscript.Run(ctx, l.rdb, calls)
	answers := make([]outcome, len(uses))
	for i, call := range calls {
		var n []int64
		if err == nil {
			n, err = call.Reply.Int64Slice()
		}
		if err == nil && len(n) != 4 {
			err = fmt.Errorf("the limit script returned %v", n)
		}
		if err != nil {
			if !errors.Is(ctx.Err(), context.Canceled) {
				l.noteAway(ctx, err)
			}
			return nil, err
		}
		answers[i] = outcome{n[0] == 1, int(n[1]), time.Duration(n[2]) * time.Millisecond, time.Duration(n[3]) * time.Millisecond}
	}
	l.outage.Worked(ctx, "")
	return answers, nil
}

// noteAway records that Redis failed to answer, so that this process counts locally for the
// duration awayFor.
func (l *Limiter) noteAway(ctx context.Context, err error) {
	l.away.Store(time.Now().UnixNano())
	l.outage.Failed(ctx, "", err)
}

func (l *Limiter) askLocal(uses []Use, states []State) []outcome {
	answers := make([]outcome, len(uses))
	now := time.Now()
	for i, u := range uses {
		answers[i] = l.local.take(u, states[i].Rate, now)
	}
	return answers
}

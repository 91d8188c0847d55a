// Package ratelimit limits every write by kind and by user or network, across all instances. The
// counts are kept in Redis.
//
// Messages are counted exactly (Reserve). A user may send a fixed number of messages in any window,
// and is blocked for a while after exceeding this limit. Callers share round trips, as appends do:
// requests that arrive during a round trip are sent together in the next one, as a pipeline with
// one script call per user. Reserve calls for the same user are answered in order.
//
// Every other kind of write takes a token from a bucket that refills evenly (Take). Take makes one
// script call per limit. While Redis is not responding, this process counts locally.
package ratelimit

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/outage"
	"parley.chat/internal/platform/redisscript"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

//go:embed reserve.lua
var reserveSource string

var reserveScript = redis.NewScript(reserveSource)

// Config configures a Limiter. A user may send Count messages within any Window. Exceeding that
// limit blocks the user's sends for the duration Block. A Count of 0 means no limit; the maximum is
// MaxCount.
type Config struct {
	Count      int
	Window     time.Duration
	Block      time.Duration
	Partitions int
	Timeout    time.Duration // default 3s: how long Reserve waits for Redis
	Rates      Rates         // limits for Take
	Own        OwnRates      // limits that Take enforces for kinds not in Rates
	Logger     *slog.Logger  // default slog.Default()
}

// OwnRates holds the limits for kinds that only one service counts.
type OwnRates map[Kind]config.Rate

// MaxCount is the highest permitted value of Config.Count. Count is limited because the script
// stores and reads the time of each of the last Count sends.
const MaxCount = 1000

// Limiter enforces the limits. Reserve works only while Run is running.
type Limiter struct {
	rdb redis.UniversalClient
	cfg Config

	local  local
	outage *outage.Log  // logs outages of the Redis server that Take uses
	away   atomic.Int64 // when Redis last failed to answer a Take, in Unix nanoseconds

	mu     sync.Mutex
	queue  []request
	closed bool
	wake   chan struct{} // capacity 1
}

// request asks for a token for one send. If refund is set, the request gives a token back instead.
type request struct {
	user   chat.UserID
	refund bool
	done   func(Verdict, error)
}

// Verdict is the result of a reserve.
type Verdict struct {
	Granted bool
	Blocked time.Duration // remaining time of the user's block; 0 if the user is over the limit but not blocked
	State   State
}

// New returns a Limiter that uses rdb. The client may retry commands, because counting one token
// too many does no harm.
func New(rdb redis.UniversalClient, cfg Config) *Limiter {
	if cfg.Timeout == 0 {
		cfg.Timeout = 3 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Limiter{
		rdb: rdb, cfg: cfg, wake: make(chan struct{}, 1),
		outage: outage.New(cfg.Logger, "limits are counted locally: Redis does not answer", "limits are counted in Redis again"),
	}
}

// Reserve requests a token for one send by user. It calls done exactly once, from the Limiter's
// goroutine or before Reserve returns; done must not block. The error passed to done is an
// *apierr.Error.
func (l *Limiter) Reserve(user chat.UserID, done func(Verdict, error)) {
	if l.cfg.Count == 0 {
		done(Verdict{Granted: true}, nil)
		return
	}
	if !l.put(request{user: user, done: done}) {
		done(Verdict{}, apierr.New(apierr.Unavailable, "The server is shutting down. Retry with the same client_id."))
	}
}

// Refund gives back the token of a send that turned out to be a retry. The refund may be lost.
func (l *Limiter) Refund(user chat.UserID) {
	if l.cfg.Count > 0 {
		l.put(request{user: user, refund: true})
	}
}

// Block blocks a user whose send was refused and was not a retry. It returns the duration of the
// block. If the user is already blocked, Block does not extend the block, and returns its remaining
// duration.
func (l *Limiter) Block(ctx context.Context, user chat.UserID) (time.Duration, error) {
	key := rediskey.UserBlocked(rediskey.Of(user.UUID, l.cfg.Partitions), user)
	set, err := l.rdb.SetNX(ctx, key, "1", l.cfg.Block).Result()
	if err != nil {
		return 0, fmt.Errorf("block user %s: %w", user, err)
	}
	if set {
		return l.cfg.Block, nil
	}
	left, err := l.rdb.PTTL(ctx, key).Result()
	if err != nil {
		return 0, fmt.Errorf("block user %s: %w", user, err)
	}
	return max(left, time.Millisecond), nil
}

func (l *Limiter) put(r request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.queue = append(l.queue, r)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return true
}

// Run answers requests until ctx is done. Before it returns, it answers the requests that are still
// pending.
func (l *Limiter) Run(ctx context.Context) error {
	for {
		select {
		case <-l.wake:
			l.flush(ctx)
		case <-ctx.Done():
			l.mu.Lock()
			l.closed = true
			l.mu.Unlock()
			l.flush(ctx)
			return nil
		}
	}
}

// maxBatch limits the number of requests in one round trip.
const maxBatch = 1024

func (l *Limiter) flush(ctx context.Context) {
	for {
		l.mu.Lock()
		n := min(len(l.queue), maxBatch)
		batch := l.queue[:n:n]
		if l.queue = l.queue[n:]; len(l.queue) == 0 {
			l.queue = nil
		}
		l.mu.Unlock()
		if n == 0 {
			return
		}
		l.settle(ctx, batch)
	}
}

// userBatch holds one user's requests that are sent in the same round trip.
type userBatch struct {
	waiting []request
	refunds int
	call    redisscript.Call
}

func (l *Limiter) settle(ctx context.Context, batch []request) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.cfg.Timeout)
	defer cancel()
	batches := make(map[chat.UserID]*userBatch, len(batch))
	for _, r := range batch {
		b := batches[r.user]
		if b == nil {
			b = &userBatch{}
			batches[r.user] = b
		}
		if r.refund {
			b.refunds++
		} else {
			b.waiting = append(b.waiting, r)
		}
	}
	l.reserve(ctx, batches)
}

// reserve sends the requests for tokens and the refunds to Redis in one pipeline, and answers the
// requests.
func (l *Limiter) reserve(ctx context.Context, batches map[chat.UserID]*userBatch) {
	calls := make([]*redisscript.Call, 0, len(batches))
	for user, b := range batches {
		if len(b.waiting) == 0 {
			continue
		}
		p := rediskey.Of(user.UUID, l.cfg.Partitions)
		b.call = redisscript.Call{
			Script: reserveScript, Keys: []string{rediskey.UserRate(p, user), rediskey.UserBlocked(p, user)},
			Args: []any{len(b.waiting), l.cfg.Count, l.cfg.Window.Milliseconds()},
		}
		calls = append(calls, &b.call)
	}
	// The error of Run is ignored, because each script call also records its own. A failed refund
	// costs the user one token until the window ends.
	_ = redisscript.Run(ctx, l.rdb, calls, func(pipe redis.Pipeliner) {
		for user, b := range batches {
			if b.refunds > 0 {
				pipe.RPopCount(ctx, rediskey.UserRate(rediskey.Of(user.UUID, l.cfg.Partitions), user), b.refunds)
			}
		}
	})
	for _, b := range batches {
		if len(b.waiting) == 0 {
			continue
		}
		err := b.call.Reply.Err()
		if err != nil {
			err = apierr.Wrap(err, apierr.Unavailable, "The rate limit cannot be checked at the moment. Retry with the same client_id.")
		}
		b.answer(l.rate(), err)
	}
}

// rate returns the limit on messages.
func (l *Limiter) rate() config.Rate { return config.Rate{Count: l.cfg.Count, Per: l.cfg.Window} }

// answer calls the done callbacks of the waiting requests, in order. If err is set, all of them
// receive it.
func (b *userBatch) answer(rate config.Rate, err error) {
	var reply []int64
	if err == nil {
		if reply, err = b.call.Reply.Int64Slice(); err == nil && len(reply) != 4 {
			err = fmt.Errorf("the rate limit script returned %v", reply)
		}
	}
	for i, r := range b.waiting {
		if err != nil {
			r.done(Verdict{}, err)
			continue
		}
		granted, blocked := int64(i) < reply[0], time.Duration(reply[1])*time.Millisecond
		v := Verdict{Granted: granted, State: State{Kind: Message, Rate: rate, Reset: time.Duration(reply[3]) * time.Millisecond}}
		if granted {
			v.State.Left = int(reply[2] + reply[0] - int64(i) - 1)
		} else {
			v.Blocked = blocked
		}
		r.done(v, nil)
	}
}

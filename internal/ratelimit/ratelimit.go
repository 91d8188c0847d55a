// Package ratelimit bounds the sends of a user over all instances: so many in any window, and who
// wants more is blocked for a while. The count lives in Redis, in the user's own slot.
//
// Callers share round trips as appends do: what comes while a round trip is under way leaves with the
// next one, one script call per user, pipelined. Reserves of one user are answered in their order.
package ratelimit

import (
	"context"
	_ "embed"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

//go:embed reserve.lua
var reserveSource string

var reserveScript = redis.NewScript(reserveSource)

// Config is a limit: Count sends in any Window, else no more for Block. A Count of 0 means no limit; it is at most MaxCount.
type Config struct {
	Count      int
	Window     time.Duration
	Block      time.Duration
	Partitions int
	Timeout    time.Duration // default 3s: how long a reserve waits for Redis
}

// MaxCount bounds the limit: the script keeps, and reads, a time for each of so many sends.
const MaxCount = 1000

// Limiter reserves sends. Construct it, Run it.
type Limiter struct {
	rdb redis.UniversalClient
	cfg Config

	mu     sync.Mutex
	queue  []request
	closed bool
	wake   chan struct{} // holds at most one token
}

// request is a send that waits for its token, or with refund one that gives its token back.
type request struct {
	user   chat.UserID
	refund bool
	done   func(Verdict, error)
}

// Verdict answers a reserve.
type Verdict struct {
	Granted bool
	Blocked time.Duration // how long the user is blocked for; 0 for one who is over the limit just now
}

// New returns a Limiter on rdb, which may retry by itself: a token too many is no harm.
func New(rdb redis.UniversalClient, cfg Config) *Limiter {
	if cfg.Timeout == 0 {
		cfg.Timeout = 3 * time.Second
	}
	return &Limiter{rdb: rdb, cfg: cfg, wake: make(chan struct{}, 1)}
}

// Reserve asks for a token for one send of user. done is called exactly once, from the Limiter's
// goroutine or before Reserve returns, and must not block. Its error is an *apierr.Error.
func (l *Limiter) Reserve(user chat.UserID, done func(Verdict, error)) {
	if l.cfg.Count == 0 {
		done(Verdict{Granted: true}, nil)
		return
	}
	if !l.put(request{user: user, done: done}) {
		done(Verdict{}, apierr.New(apierr.Unavailable, "shutting down"))
	}
}

// Refund gives a token back, for a send that turned out to be a retry. It may be lost.
func (l *Limiter) Refund(user chat.UserID) {
	if l.cfg.Count > 0 {
		l.put(request{user: user, refund: true})
	}
}

// Block blocks a user whose send was refused and was no retry, and returns for how long: what is left
// of a block that had begun, which it does not lengthen.
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

// Run answers reserves until ctx is done, and then those that were asked for before.
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

// maxBatch bounds one round trip.
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

// turn is what one round trip does for one user.
type turn struct {
	waiting []request
	refunds int
	reply   *redis.Cmd
}

func (l *Limiter) settle(ctx context.Context, batch []request) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.cfg.Timeout)
	defer cancel()
	turns := make(map[chat.UserID]*turn, len(batch))
	for _, r := range batch {
		t := turns[r.user]
		if t == nil {
			t = &turn{}
			turns[r.user] = t
		}
		if r.refund {
			t.refunds++
		} else {
			t.waiting = append(t.waiting, r)
		}
	}
	again := l.ask(ctx, turns)
	if len(again) > 0 { // the server did not know the script
		if err := l.load(ctx); err == nil {
			again = l.ask(ctx, again)
		}
	}
	for _, t := range again {
		t.answer(apierr.Wrap(t.reply.Err(), apierr.Unavailable, "the rate limit cannot be checked right now; retry with the same client_id"))
	}
}

// ask sends one pipeline, answers what it can, and returns the turns whose script was not known.
func (l *Limiter) ask(ctx context.Context, turns map[chat.UserID]*turn) (unknown map[chat.UserID]*turn) {
	_, _ = l.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error { // each reply has its own error
		for user, t := range turns {
			p := rediskey.Of(user.UUID, l.cfg.Partitions)
			rate := rediskey.UserRate(p, user)
			if t.refunds > 0 {
				pipe.RPopCount(ctx, rate, t.refunds)
			}
			if len(t.waiting) > 0 {
				t.reply = reserveScript.EvalSha(ctx, pipe, []string{rate, rediskey.UserBlocked(p, user)},
					len(t.waiting), l.cfg.Count, l.cfg.Window.Milliseconds())
			}
		}
		return nil
	})
	for user, t := range turns {
		t.refunds = 0
		if t.reply == nil {
			continue
		}
		if redis.HasErrorPrefix(t.reply.Err(), "NOSCRIPT") {
			if unknown == nil {
				unknown = make(map[chat.UserID]*turn)
			}
			unknown[user] = t
			continue
		}
		var err error
		if t.reply.Err() != nil {
			err = apierr.Wrap(t.reply.Err(), apierr.Unavailable, "the rate limit cannot be checked right now; retry with the same client_id")
		}
		t.answer(err)
	}
	return unknown
}

func (l *Limiter) load(ctx context.Context) error {
	load := func(ctx context.Context, c *redis.Client) error { return reserveScript.Load(ctx, c).Err() }
	if c, ok := l.rdb.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, load)
	}
	return reserveScript.Load(ctx, l.rdb).Err()
}

// answer tells those who wait, in their order; err is told to all.
func (t *turn) answer(err error) {
	var pair []int64
	if err == nil {
		if pair, err = t.reply.Int64Slice(); err == nil && len(pair) != 2 {
			err = fmt.Errorf("the rate limit answered %v", pair)
		}
	}
	for i, r := range t.waiting {
		switch {
		case err != nil:
			r.done(Verdict{}, err)
		case int64(i) < pair[0]:
			r.done(Verdict{Granted: true}, nil)
		default:
			r.done(Verdict{Blocked: time.Duration(pair[1]) * time.Millisecond}, nil)
		}
	}
}

// Package ratelimit limits every write, over all instances, by kind and by user or network. The counts live
// in Redis.
//
// Messages are counted exactly: a user has so many sends in any window, and one more blocks the user's sends
// for a while (Reserve). Callers share round trips as appends do: requests that arrive during a round trip
// leave with the next one, one script call per user, pipelined. Reserves of one user are answered in their
// order.
//
// Every other kind of write takes a token from a limit that refills evenly (Take). It is one script call per
// limit, and this process counts by itself while Redis does not answer.
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

	"parley.chat/internal/config"
	"parley.chat/internal/outage"
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
	Rates      Rates         // of Take
	Own        OwnRates      // further limits of Take, of kinds that are not among Rates
	Logger     *slog.Logger  // default slog.Default()
}

// OwnRates are limits of kinds that one service counts by itself.
type OwnRates map[Kind]config.Rate

// MaxCount bounds the limit: the script keeps, and reads, a time for each of so many sends.
const MaxCount = 1000

// Limiter reserves sends. Construct it, Run it.
type Limiter struct {
	rdb redis.UniversalClient
	cfg Config

	local  local
	outage *outage.Log  // of the Redis that Take asks
	away   atomic.Int64 // when Redis last did not answer a Take, in Unix nanoseconds

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
	State   State
}

// New returns a Limiter on rdb, which may retry by itself: a token too many is no harm.
func New(rdb redis.UniversalClient, cfg Config) *Limiter {
	if cfg.Timeout == 0 {
		cfg.Timeout = 3 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Limiter{
		rdb: rdb, cfg: cfg, wake: make(chan struct{}, 1),
		outage: outage.New(cfg.Logger, "limits are counted by this process alone: Redis does not answer", "limits are counted in Redis again"),
	}
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
		t.answer(l.rate(), apierr.Wrap(t.reply.Err(), apierr.Unavailable, "the rate limit cannot be checked right now; retry with the same client_id"))
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
		t.answer(l.rate(), err)
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

// rate is the limit of messages.
func (l *Limiter) rate() config.Rate { return config.Rate{Count: l.cfg.Count, Per: l.cfg.Window} }

// answer calls done of the requests that wait, in their order; all get the same err.
func (t *turn) answer(rate config.Rate, err error) {
	var reply []int64
	if err == nil {
		if reply, err = t.reply.Int64Slice(); err == nil && len(reply) != 4 {
			err = fmt.Errorf("the rate limit answered %v", reply)
		}
	}
	for i, r := range t.waiting {
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

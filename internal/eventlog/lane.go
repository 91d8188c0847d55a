package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

const (
	perEvent   = 10  // arguments of append.lua per event
	maxPerCall = 256 // events of one script call: bounds how long a call holds Redis up
	maxBatch   = 2048
)

// pending is an event on its way to the log.
type pending struct {
	channel   chat.ChannelID
	id        chat.EventID
	sentAt    chat.Time
	recordKey string
	markKey   string
	args      [perEvent]any
	deadline  time.Time
	done      func(Ack, error)
}

// lane sends the appends of some partitions, one batch at a time. That alone keeps a channel's order:
// nothing is sent before what was sent earlier is settled.
type lane struct {
	a *Appender

	mu       sync.Mutex
	queue    []*pending
	closed   bool
	wake     chan struct{}                 // holds at most one token: there may be something to do
	parked   map[chat.ChannelID][]*pending // channels that take no appends right now: what waits, in order
	settling sync.WaitGroup                // what makes them take appends again
}

func newLane(a *Appender) *lane {
	return &lane{a: a, wake: make(chan struct{}, 1), parked: make(map[chat.ChannelID][]*pending)}
}

func (l *lane) submit(p *pending) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return apierr.New(apierr.Unavailable, "shutting down")
	}
	if waiting, ok := l.parked[p.channel]; ok {
		l.parked[p.channel] = append(waiting, p)
		return nil
	}
	l.queue = append(l.queue, p)
	l.poke()
	return nil
}

func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run sends batches until ctx is done, and then until nothing is left of what was submitted.
func (l *lane) run(ctx context.Context) error {
	for {
		if batch := l.take(); len(batch) > 0 {
			l.send(ctx, batch)
			continue
		}
		select {
		case <-l.wake:
			continue
		case <-ctx.Done():
		}
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		for {
			l.settling.Wait() // each puts what waited for it into the queue, or fails it
			batch := l.take()
			if len(batch) == 0 {
				return nil
			}
			l.send(ctx, batch)
		}
	}
}

func (l *lane) take() []*pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.queue), maxBatch)
	batch := l.queue[:n:n]
	l.queue = l.queue[n:]
	if n > 0 && len(l.queue) == 0 {
		l.queue = nil // let go of the array with its pointers
	}
	return batch
}

// send appends batch, again and again while Redis does not answer and somebody still waits. It is
// finished even if ctx ends meanwhile: each event carries its own deadline.
func (l *lane) send(ctx context.Context, batch []*pending) {
	ctx = context.WithoutCancel(ctx)
	for attempt := 0; ; attempt++ {
		batch = l.try(ctx, batch)
		if batch = l.expire(batch); len(batch) == 0 {
			return
		}
		time.Sleep(backoff(attempt))
	}
}

// backoff is 5 ms doubling to 200 ms, with jitter: a dead Redis is not hammered, and one that has
// failed over is found soon.
func backoff(attempt int) time.Duration {
	d := min(5*time.Millisecond<<min(attempt, 6), 200*time.Millisecond)
	return d/2 + rand.N(d/2+1)
}

// expire fails what has waited too long and returns the rest. Whether it was appended is unknown.
func (l *lane) expire(batch []*pending) (rest []*pending) {
	now := time.Now()
	for _, p := range batch {
		if now.After(p.deadline) {
			p.done(Ack{}, apierr.New(apierr.Unavailable, "the event log does not answer; retry with the same client_id"))
		} else {
			rest = append(rest, p)
		}
	}
	return rest
}

// try sends batch once, a call per channel in one pipeline, settles what was answered, and returns
// what must be sent again.
func (l *lane) try(ctx context.Context, batch []*pending) (again []*pending) {
	calls, surplus := byChannel(batch)
	l.putBack(surplus)
	replies := make([]*redis.Cmd, len(calls))
	ctx, cancel := context.WithTimeout(ctx, l.a.cfg.Timeout)
	defer cancel()
	_, _ = l.a.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error { // each reply has its own error
		for i, call := range calls {
			replies[i] = appendScript.EvalSha(ctx, pipe, l.keys(call), l.args(call)...)
		}
		return nil
	})
	var lastErr error
	for i, call := range calls {
		err := replies[i].Err()
		switch {
		case err == nil:
			l.settle(call, replies[i])
		case redis.HasErrorPrefix(err, "UNSEEDED"):
			l.park(ctx, call, func(ctx context.Context, channel chat.ChannelID) error {
				_, err := l.a.log.seed(ctx, channel, l.a.floor)
				return err
			})
		case redis.HasErrorPrefix(err, "EPOCH"), redis.HasErrorPrefix(err, "STALE"):
			l.park(ctx, call, func(ctx context.Context, channel chat.ChannelID) error {
				return l.a.cfg.Diverged(ctx, channel, refusedAt(err))
			})
		case redis.HasErrorPrefix(err, "NOSCRIPT"):
			if lerr := l.load(ctx); lerr != nil {
				err = lerr
			}
			again, lastErr = append(again, call...), err
		case transient(err):
			again, lastErr = append(again, call...), err
		default:
			l.a.cfg.Logger.Error("append refused by Redis", "channel_id", call[0].channel, "err", err)
			for _, p := range call {
				p.done(Ack{}, apierr.Wrap(err, apierr.Internal, "the event log refused the append"))
			}
		}
	}
	if lastErr != nil && !redis.HasErrorPrefix(lastErr, "NOSCRIPT") {
		l.a.cfg.Logger.Warn("append not answered, sending again", "events", len(again), "err", lastErr)
	}
	return again
}

// load puts the script into every server that may run it.
func (l *lane) load(ctx context.Context) error {
	load := func(ctx context.Context, c *redis.Client) error { return appendScript.Load(ctx, c).Err() }
	switch c := l.a.rdb.(type) {
	case *redis.ClusterClient:
		return c.ForEachMaster(ctx, load)
	case *redis.Client:
		return load(ctx, c)
	}
	return fmt.Errorf("load script: unknown client %T", l.a.rdb)
}

// transient reports whether err leaves it open if the call was carried out, or was said by a Redis
// that will be able to carry it out soon.
func transient(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrClosed) {
		return true
	}
	for _, prefix := range []string{"LOADING", "BUSY", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "NOREPLICAS", "MISCONF", "OOM"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return !isReply(err)
}

// isReply reports whether Redis itself said err, as opposed to the way there.
func isReply(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok && !strings.HasPrefix(err.Error(), "redis: ")
}

// byChannel splits batch into calls, one per channel. What is more than a call takes is surplus: it
// must not be sent before the call of its channel is settled.
func byChannel(batch []*pending) (calls [][]*pending, surplus []*pending) {
	callOf := make(map[chat.ChannelID]int, len(batch))
	for _, p := range batch {
		i, ok := callOf[p.channel]
		if !ok {
			i = len(calls)
			calls = append(calls, nil)
			callOf[p.channel] = i
		}
		if len(calls[i]) == maxPerCall {
			surplus = append(surplus, p)
		} else {
			calls[i] = append(calls[i], p)
		}
	}
	return calls, surplus
}

// putBack returns events to the front of the queue.
func (l *lane) putBack(events []*pending) {
	if len(events) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(events, l.queue...)
	l.poke()
}

func (l *lane) keys(call []*pending) []string {
	channel := call[0].channel
	p := l.a.log.Partition(channel.UUID)
	keys := make([]string, 0, 4+2*len(call))
	keys = append(keys, rediskey.Counter(p, channel), rediskey.Stream(p), rediskey.Tail(p, channel), rediskey.Topic(p, channel))
	for _, e := range call {
		keys = append(keys, e.recordKey, e.markKey)
	}
	return keys
}

func (l *lane) args(call []*pending) []any {
	args := make([]any, 0, 4+perEvent*len(call))
	var known Head
	if l.a.cfg.Known != nil {
		known = l.a.cfg.Known(call[0].channel)
	}
	args = append(args, event.Version, call[0].channel.String(), string(known.Epoch), known.Seq)
	for _, e := range call {
		args = append(args, e.args[:]...)
	}
	return args
}

// settle tells each event of a call its outcome.
func (l *lane) settle(call []*pending, reply *redis.Cmd) {
	results, err := reply.StringSlice()
	if err == nil && len(results) != len(call)+1 {
		err = fmt.Errorf("%d results for %d events", len(results), len(call))
	}
	for i, p := range call {
		if err != nil {
			p.done(Ack{}, apierr.Wrap(err, apierr.Internal, "the append answered nonsense"))
			continue
		}
		p.done(outcomeOf(p, event.Epoch(results[0]), results[i+1]))
	}
}

// refusedAt reads the pair of a refusal: "EPOCH <seq> <epoch>" or "STALE <seq> <epoch>".
func refusedAt(err error) Head {
	f := strings.Fields(err.Error())
	if len(f) != 3 {
		return Head{}
	}
	h, _ := headOf([]any{f[1], f[2]})
	return h
}

// park settles beside the lane what keeps a channel from taking appends, so that other channels go on.
// What the channel submits meanwhile waits behind call.
func (l *lane) park(ctx context.Context, call []*pending, settle func(context.Context, chat.ChannelID) error) {
	channel := call[0].channel
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := call
	rest := l.queue[:0:0]
	for _, p := range l.queue {
		if p.channel == channel {
			waiting = append(waiting, p)
		} else {
			rest = append(rest, p)
		}
	}
	l.queue = rest
	l.parked[channel] = append(waiting, l.parked[channel]...)
	ctx = context.WithoutCancel(ctx)
	l.settling.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, l.a.cfg.Timeout)
		defer cancel()
		l.unpark(channel, settle(ctx, channel))
	})
}

// unpark puts back what waited or, with an error, fails it: nothing of it was appended.
func (l *lane) unpark(channel chat.ChannelID, err error) {
	l.mu.Lock()
	waiting := l.parked[channel]
	delete(l.parked, channel)
	if err == nil {
		l.queue = append(waiting, l.queue...)
		l.poke()
	}
	l.mu.Unlock()
	if err == nil {
		return
	}
	l.a.cfg.Logger.Warn("channel's numbering not settled", "channel_id", channel, "err", err)
	for _, p := range waiting {
		p.done(Ack{}, apierr.Wrap(err, apierr.Unavailable, "the channel's numbering cannot be read right now"))
	}
}

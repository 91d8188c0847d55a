// Package coalesce makes few reads of many: what callers ask for while a read is under way is asked for
// together by the next. No call waits on a timer, and none waits when nothing is under way. When thousands
// of clients come back at once, their admissions cost as many queries as fit one after the other, not one
// each.
//
// A read that fails is tried again by each of its callers alone, so that one question that cannot be
// answered, or a shard that is down, fails those whom it concerns.
package coalesce

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Config shapes a Group. A zero field means its default.
type Config struct {
	MaxReads int           // reads under way at a time; default 2
	MaxBatch int           // questions of one read, but at least those of one caller; default 500
	Timeout  time.Duration // of a read; default 5s
	// Context ends the reads that no caller's own goroutine makes; default context.Background().
	Context context.Context
}

// Group gathers questions of one kind. It is safe for concurrent use. A goroutine runs while somebody
// waits who did not come first.
type Group[Q comparable, A any] struct {
	read func(ctx context.Context, questions []Q) ([]A, error)
	cfg  Config

	mu      sync.Mutex
	waiting []*call[Q, A]
	under   int // reads under way
	readers sync.WaitGroup
	alone   chan struct{} // holds a token for each caller that tries again alone
}

// aloneMost bounds the callers that try again alone at a time: what has failed them is not to be hammered.
const aloneMost = 8

type call[Q comparable, A any] struct {
	ctx       context.Context // the caller's: who has gone is not read for
	questions []Q
	answers   []A
	err       error
	done      chan struct{}
}

// New returns a Group. read answers distinct questions, in their order.
func New[Q comparable, A any](read func(context.Context, []Q) ([]A, error), cfg Config) *Group[Q, A] {
	if cfg.MaxReads == 0 {
		cfg.MaxReads = 2
	}
	if cfg.MaxBatch == 0 {
		cfg.MaxBatch = 500
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Context == nil {
		cfg.Context = context.Background()
	}
	return &Group[Q, A]{read: read, cfg: cfg, alone: make(chan struct{}, aloneMost)}
}

// Wait returns when no read is under way. Nothing may be asked meanwhile.
func (g *Group[Q, A]) Wait() { g.readers.Wait() }

// Ask returns the answer to one question.
func (g *Group[Q, A]) Ask(ctx context.Context, question Q) (answer A, err error) {
	answers, err := g.AskAll(ctx, []Q{question})
	if err != nil {
		return answer, err
	}
	return answers[0], nil
}

// errTogether says that a read failed for several callers at once.
var errTogether = errors.New("read together failed")

// AskAll returns the answers to questions, in their order.
func (g *Group[Q, A]) AskAll(ctx context.Context, questions []Q) ([]A, error) {
	if len(questions) == 0 {
		return nil, nil
	}
	c := &call[Q, A]{ctx: ctx, questions: questions, done: make(chan struct{})}
	g.mu.Lock()
	if g.under < g.cfg.MaxReads {
		g.under++
		g.mu.Unlock()
		g.answer(ctx, []*call[Q, A]{c})
		g.mu.Lock()
		if len(g.waiting) > 0 {
			g.readers.Go(g.goOn)
		} else {
			g.under--
		}
		g.mu.Unlock()
	} else {
		g.waiting = append(g.waiting, c)
		g.mu.Unlock()
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if errors.Is(c.err, errTogether) {
		select {
		case g.alone <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		defer func() { <-g.alone }()
		alone := []*call[Q, A]{{ctx: ctx, questions: questions, done: make(chan struct{})}}
		g.answer(ctx, alone)
		return alone[0].answers, alone[0].err
	}
	return c.answers, c.err
}

// goOn reads for those who wait until nobody does.
func (g *Group[Q, A]) goOn() {
	for {
		g.mu.Lock()
		batch := g.takeLocked()
		if len(batch) == 0 {
			g.under--
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		g.answer(g.cfg.Context, batch)
	}
}

func (g *Group[Q, A]) takeLocked() (batch []*call[Q, A]) {
	g.waiting = slices.DeleteFunc(g.waiting, func(c *call[Q, A]) bool { return c.ctx.Err() != nil })
	n, size := 0, 0
	for n < len(g.waiting) && (n == 0 || size+len(g.waiting[n].questions) <= g.cfg.MaxBatch) {
		size += len(g.waiting[n].questions)
		n++
	}
	batch = g.waiting[:n:n]
	if g.waiting = g.waiting[n:]; len(g.waiting) == 0 {
		g.waiting = nil
	}
	return batch
}

// answer makes one read for all of batch.
func (g *Group[Q, A]) answer(ctx context.Context, batch []*call[Q, A]) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Timeout)
	defer cancel()
	place := make(map[Q]int)
	var distinct []Q
	for _, c := range batch {
		for _, q := range c.questions {
			if _, ok := place[q]; !ok {
				place[q] = len(distinct)
				distinct = append(distinct, q)
			}
		}
	}
	answers, err := g.read(ctx, distinct)
	if err == nil && len(answers) != len(distinct) {
		err = errors.New("not every question has its answer")
	}
	if err != nil && len(batch) > 1 {
		err = errTogether
	}
	for _, c := range batch {
		if c.err = err; err == nil {
			c.answers = make([]A, len(c.questions))
			for i, q := range c.questions {
				c.answers[i] = answers[place[q]]
			}
		}
		close(c.done)
	}
}

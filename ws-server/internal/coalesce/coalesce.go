// Package coalesce combines the reads of concurrent callers. A question is a key to look up, and a
// read answers a list of questions. Once Config.MaxReads reads are running, further callers wait
// and share the next read. No caller waits for a timer, and a caller does not wait at all while
// fewer reads are running. When thousands of clients reconnect at the same time, the gateway admits
// them with a few large queries instead of one query per client.
//
// When a shared read fails, each of its callers repeats its own questions separately. So a question
// that cannot be answered, or a shard that is down, causes an error only for the callers that need
// it.
package coalesce

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Config configures a Group. Zero fields use their default values.
type Config struct {
	// MaxReads is the maximum number of reads that run at the same time; default 2.
	MaxReads int
	// MaxBatch is the maximum number of questions per read; default 500. It is exceeded only if a
	// single caller asks more questions than that.
	MaxBatch int
	// Timeout limits one read; default 5s.
	Timeout time.Duration
	// Context is the context for reads that run in one of the Group's goroutines; default
	// context.Background().
	Context context.Context
}

// Group combines concurrent callers' questions (keys to look up) into shared reads. It is safe for
// concurrent use. It runs goroutines only while callers are waiting for a shared read.
type Group[Q comparable, A any] struct {
	read func(ctx context.Context, questions []Q) ([]A, error)
	cfg  Config

	mu      sync.Mutex
	waiting []*call[Q, A]
	running int // reads that are running
	readers sync.WaitGroup
	retries chan struct{} // holds a token for each caller that repeats its own lookups after a shared read has failed
}

// maxRetries limits how many callers repeat their own lookups at the same time after a shared read
// has failed, to reduce the load on a failing store.
const maxRetries = 8

type call[Q comparable, A any] struct {
	ctx       context.Context // the caller's context; once it is done, the call's questions are skipped
	questions []Q
	answers   []A
	err       error
	done      chan struct{}
}

// New returns a Group. read receives distinct questions and must return their answers in the same
// order.
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
	return &Group[Q, A]{read: read, cfg: cfg, retries: make(chan struct{}, maxRetries)}
}

// Wait waits until no read is running. Ask and AskAll must not be called during this time.
func (g *Group[Q, A]) Wait() { g.readers.Wait() }

// Ask returns the answer to one question.
func (g *Group[Q, A]) Ask(ctx context.Context, question Q) (answer A, err error) {
	answers, err := g.AskAll(ctx, []Q{question})
	if err != nil {
		return answer, err
	}
	return answers[0], nil
}

// errShared means that a read for several callers failed.
var errShared = errors.New("shared read failed")

// AskAll returns the answers to questions, in the same order.
func (g *Group[Q, A]) AskAll(ctx context.Context, questions []Q) ([]A, error) {
	if len(questions) == 0 {
		return nil, nil
	}
	c := &call[Q, A]{ctx: ctx, questions: questions, done: make(chan struct{})}
	g.mu.Lock()
	if g.running < g.cfg.MaxReads {
		g.running++
		g.mu.Unlock()
		g.answer(ctx, []*call[Q, A]{c})
		g.mu.Lock()
		if len(g.waiting) > 0 {
			g.readers.Go(g.readWaiting)
		} else {
			g.running--
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
	if errors.Is(c.err, errShared) {
		select {
		case g.retries <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		defer func() { <-g.retries }()
		retry := []*call[Q, A]{{ctx: ctx, questions: questions, done: make(chan struct{})}}
		g.answer(ctx, retry)
		return retry[0].answers, retry[0].err
	}
	return c.answers, c.err
}

// readWaiting answers the waiting callers' questions until no caller is waiting.
func (g *Group[Q, A]) readWaiting() {
	for {
		g.mu.Lock()
		batch := g.takeLocked()
		if len(batch) == 0 {
			g.running--
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

// answer answers the questions of all calls in batch with one read.
func (g *Group[Q, A]) answer(ctx context.Context, batch []*call[Q, A]) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Timeout)
	defer cancel()
	index := make(map[Q]int)
	var distinct []Q
	for _, c := range batch {
		for _, q := range c.questions {
			if _, ok := index[q]; !ok {
				index[q] = len(distinct)
				distinct = append(distinct, q)
			}
		}
	}
	answers, err := g.read(ctx, distinct)
	if err == nil && len(answers) != len(distinct) {
		err = errors.New("the number of answers differs from the number of questions")
	}
	if err != nil && len(batch) > 1 {
		err = errShared
	}
	for _, c := range batch {
		if c.err = err; err == nil {
			c.answers = make([]A, len(c.questions))
			for i, q := range c.questions {
				c.answers[i] = answers[index[q]]
			}
		}
		close(c.done)
	}
}

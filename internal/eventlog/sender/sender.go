// Package sender is the way of a user's event to the log, whatever it came by: the rate limit, then the
// append. The gateway and the REST service send through it, so that both keep the same rules, and show the
// same in a trace.
package sender

import (
	"context"
	"errors"
	"sync"
	"time"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/msgtrace"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/frame"
)

// Sender sends. Construct it, Run it; the Limiter and the Appender run beside it and stop after it.
type Sender struct {
	limit    *ratelimit.Limiter
	appender *eventlog.Appender
	traces   *msgtrace.Tracer

	ctx     context.Context // of the refusals, which look into Redis beside the limiter's goroutine
	end     context.CancelFunc
	mu      sync.Mutex
	closed  bool // takes no refusals any more
	refused sync.WaitGroup
}

// refusalTimeout bounds what a refused send costs.
const refusalTimeout = 3 * time.Second

// New returns a Sender. With a nil Tracer nothing is traced.
func New(limit *ratelimit.Limiter, appender *eventlog.Appender, traces *msgtrace.Tracer) *Sender {
	s := &Sender{limit: limit, appender: appender, traces: traces}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

// Run waits for ctx and then for the refusals that are under way. Nothing may be sent after it.
func (s *Sender) Run(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.refused.Wait()
	s.end()
	return nil
}

// beside runs f in a goroutine that Run waits for, and reports false if it waits no more.
func (s *Sender) beside(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.refused.Go(f)
	}
	return !s.closed
}

// Submit sends e, which must not change until done, on behalf of its sender. done is called exactly once, possibly before Submit returns,
// and must not block. Its error is an *apierr.Error: what the append may answer, and RateLimited. A
// retry of what was appended before gets its first ack, however many sends its user has left: it takes
// no token, and starts no block.
func (s *Sender) Submit(e *frame.Event, done func(eventlog.Ack, error)) {
	if trace := s.traces.Send(context.Background(), e); trace != nil {
		s.submitTraced(e, trace, nil, done)
		return
	}
	s.submit(e, nil, nil, done)
}

// submitTraced is submit with the trace of e ended before done is called.
func (s *Sender) submitTraced(e *frame.Event, trace *msgtrace.Send, left *ratelimit.State, done func(eventlog.Ack, error)) {
	s.submit(e, trace, left, func(ack eventlog.Ack, err error) {
		trace.End(ack, err)
		done(ack, err)
	})
}

// submit sends e. It sets left, unless that is nil, before it calls done.
func (s *Sender) submit(e *frame.Event, trace *msgtrace.Send, left *ratelimit.State, done func(eventlog.Ack, error)) {
	s.limit.Reserve(e.SenderID, func(v ratelimit.Verdict, err error) {
		trace.Reserved()
		if left != nil {
			*left = v.State
		}
		switch {
		case err != nil:
			done(eventlog.Ack{}, err)
		case v.Granted:
			s.append(e, trace, done)
		default:
			if !s.beside(func() {
				done(s.refuse(e, v.Blocked))
				s.appender.Flushed()
			}) {
				done(eventlog.Ack{}, apierr.New(apierr.Unavailable, "shutting down: retry with the same client_id"))
			}
		}
	})
}

// Send is Submit that waits, and also returns what is left of the sender's limit; its rate is zero if the
// limit is off or could not be checked. The span of a request in ctx is linked to the trace of e, if it has one, and to
// that of the first for a retry.
func (s *Sender) Send(ctx context.Context, e frame.Event) (eventlog.Ack, ratelimit.State, error) {
	type outcome struct {
		ack eventlog.Ack
		err error
	}
	got := make(chan outcome, 1)
	var left ratelimit.State
	s.submitTraced(&e, s.traces.Send(ctx, &e), &left, func(ack eventlog.Ack, err error) { got <- outcome{ack, err} })
	select {
	case o := <-got:
		if o.ack.Duplicate {
			s.traces.Link(ctx, o.ack.ID)
		} else {
			s.traces.Link(ctx, e.ID)
		}
		return o.ack, left, o.err
	case <-ctx.Done():
		return eventlog.Ack{}, ratelimit.State{}, apierr.Wrap(ctx.Err(), apierr.Unavailable, "gave up waiting for the append")
	}
}

func (s *Sender) append(e *frame.Event, trace *msgtrace.Send, done func(eventlog.Ack, error)) {
	err := s.appender.Submit(e, eventlog.AppendOptions{Batch: trace.Batch()}, func(ack eventlog.Ack, err error) {
		if ack.Duplicate {
			s.limit.Refund(e.SenderID)
			s.traces.Retried(e, ack.ID)
		}
		done(ack, err)
	})
	if err != nil {
		done(eventlog.Ack{}, err)
	}
}

// refuse answers a send that got no token: with its first ack if it is a retry, else the user is
// blocked.
func (s *Sender) refuse(e *frame.Event, left time.Duration) (eventlog.Ack, error) {
	ctx, cancel := context.WithTimeout(s.ctx, refusalTimeout)
	defer cancel()
	ack, found, err := s.Recorded(ctx, e)
	if found || err != nil && apierr.CodeOf(err) != apierr.Unavailable {
		return ack, err
	}
	if left == 0 && err == nil {
		left, err = s.limit.Block(ctx, e.SenderID)
	}
	if err != nil {
		var known *apierr.Error
		if errors.As(err, &known) {
			return eventlog.Ack{}, err
		}
		return eventlog.Ack{}, apierr.Wrap(err, apierr.Unavailable, "the rate limit cannot be checked right now; retry with the same client_id")
	}
	return eventlog.Ack{}, &apierr.Error{Code: apierr.RateLimited, Message: "too many messages: wait before the next", RetryAfter: left}
}

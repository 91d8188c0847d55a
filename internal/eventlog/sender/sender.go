// Package sender sends a user's event to the log: it first checks the rate limit and then appends
// the event. The gateway and the REST service both use it, so that they enforce the same rules and
// produce the same traces.
package sender

import (
	"context"
	"errors"
	"sync"
	"time"

	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/eventlog/msgtrace"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/frame"
)

// Sender sends events. The Limiter and the Appender must keep running until the Sender's Run has
// returned.
type Sender struct {
	limit    *ratelimit.Limiter
	appender *appender.Appender
	traces   *msgtrace.Tracer

	ctx     context.Context // context of the goroutines that handle refused sends
	end     context.CancelFunc
	mu      sync.Mutex
	closed  bool // whether Run has stopped accepting refused sends
	refused sync.WaitGroup
}

// refusalTimeout limits the time for handling a refused send.
const refusalTimeout = 3 * time.Second

// New returns a Sender. If traces is nil, it traces nothing.
func New(limit *ratelimit.Limiter, a *appender.Appender, traces *msgtrace.Tracer) *Sender {
	s := &Sender{limit: limit, appender: a, traces: traces}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

// Run waits until ctx is done and all refused sends have been handled. Nothing may be sent after it
// returns.
func (s *Sender) Run(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.refused.Wait()
	s.end()
	return nil
}

// start runs f in a goroutine that Run waits for. If Run no longer accepts goroutines, start
// returns false and does not run f.
func (s *Sender) start(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.refused.Go(f)
	}
	return !s.closed
}

// Submit sends e on behalf of its sender; e must not change until done is called. It calls done
// exactly once, possibly before Submit returns; done must not block. The error is an *apierr.Error:
// RateLimited, or any error from the append. A retry of an event that was appended earlier gets the
// original ack, even if the user has used up the limit. A retry does not use up a token and
// never causes the user to be blocked from sending.
func (s *Sender) Submit(e *frame.Event, done func(appender.Ack, error)) {
	if trace := s.traces.Send(context.Background(), e); trace != nil {
		s.submitTraced(e, trace, nil, done)
		return
	}
	s.submit(e, nil, nil, done)
}

// submitTraced is like submit, but ends the trace of e before it calls done.
func (s *Sender) submitTraced(e *frame.Event, trace *msgtrace.Send, left *ratelimit.State, done func(appender.Ack, error)) {
	s.submit(e, trace, left, func(ack appender.Ack, err error) {
		trace.End(ack, err)
		done(ack, err)
	})
}

// submit sends e. Before it calls done, it sets *left to the state of the sender's limit, unless
// left is nil.
func (s *Sender) submit(e *frame.Event, trace *msgtrace.Send, left *ratelimit.State, done func(appender.Ack, error)) {
	s.limit.Reserve(e.SenderID, func(v ratelimit.Verdict, err error) {
		trace.Reserved()
		if left != nil {
			*left = v.State
		}
		switch {
		case err != nil:
			done(appender.Ack{}, err)
		case v.Granted:
			s.append(e, trace, done)
		default:
			if !s.start(func() {
				done(s.refuse(e, v.Blocked))
				s.appender.Flushed()
			}) {
				done(appender.Ack{}, apierr.New(apierr.Unavailable, "The server is shutting down. Retry with the same client_id."))
			}
		}
	})
}

// Send is like Submit, but waits for the outcome. It also returns the state of the sender's limit,
// whose Rate is zero if the limit is disabled or could not be checked. If e is traced, its trace
// and the request's span in ctx are linked; a retry is linked to the trace of the first send.
func (s *Sender) Send(ctx context.Context, e frame.Event) (appender.Ack, ratelimit.State, error) {
	type outcome struct {
		ack appender.Ack
		err error
	}
	got := make(chan outcome, 1)
	var left ratelimit.State
	s.submitTraced(&e, s.traces.Send(ctx, &e), &left, func(ack appender.Ack, err error) { got <- outcome{ack, err} })
	select {
	case o := <-got:
		if o.ack.Duplicate {
			s.traces.Link(ctx, o.ack.ID)
		} else {
			s.traces.Link(ctx, e.ID)
		}
		return o.ack, left, o.err
	case <-ctx.Done():
		return appender.Ack{}, ratelimit.State{}, apierr.Wrap(ctx.Err(), apierr.Unavailable, "The event log did not answer in time. Retry with the same client_id.")
	}
}

func (s *Sender) append(e *frame.Event, trace *msgtrace.Send, done func(appender.Ack, error)) {
	err := s.appender.Submit(e, appender.Options{Batch: trace.Batch()}, func(ack appender.Ack, err error) {
		if ack.Duplicate {
			s.limit.Refund(e.SenderID)
			s.traces.Retried(e, ack.ID)
		}
		done(ack, err)
	})
	if err != nil {
		done(appender.Ack{}, err)
	}
}

// refuse handles a send that got no token. If the send is a retry, refuse returns the original ack.
// Otherwise it blocks the user.
func (s *Sender) refuse(e *frame.Event, left time.Duration) (appender.Ack, error) {
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
			return appender.Ack{}, err
		}
		return appender.Ack{}, apierr.Wrap(err, apierr.Unavailable, "The rate limit cannot be checked at the moment. Retry with the same client_id.")
	}
	return appender.Ack{}, &apierr.Error{Code: apierr.RateLimited, Message: "Too many messages. Please try again later.", RetryAfter: left}
}

// Package lifecycle runs the parts of a program together and stops them in order.
//
// Parts start in the given order and stop in reverse order, one after another. So a part can rely
// on the parts before it for as long as it runs, even while it drains. Each part has its own
// context, which is canceled when it is that part's turn to stop, not when the program is told to
// stop.
package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	// defaultDrain is the drain deadline if none is given.
	defaultDrain = 30 * time.Second
	// lastCall is the additional time that the parts still running at the drain deadline have in
	// total. So if one part hangs, the parts that it relies on, such as a private database, can
	// still stop cleanly.
	lastCall = time.Second
)

// ErrStoppedByItself is the error of a part that returned nil before it was told to stop.
var ErrStoppedByItself = errors.New("stopped by itself")

// Part is a piece of a program. Run works until ctx is done, finishes its current work, and
// returns. An error means that the program cannot continue. Run owns the goroutines it starts.
type Part struct {
	Name string
	Run  func(ctx context.Context) error
}

// running is a part that has been started. Its result is sent to done exactly once.
type running struct {
	name string
	stop context.CancelFunc
	done chan error
}

// Run starts the parts and blocks until all of them have returned. It stops them when ctx is done
// or when one of them returns. It returns the first error, with the part's name, or nil after a
// clean stop. Stopping must finish within the duration drain; 0 selects the default of 30 s. If a
// part takes longer, the error names it and its goroutine is abandoned, so the program should exit.
func Run(ctx context.Context, log *slog.Logger, drain time.Duration, parts ...Part) error {
	all := make([]*running, 0, len(parts))
	first := make(chan error, len(parts)) // errors of parts that returned before they were told to stop, in order
	for _, part := range parts {
		all = append(all, start(ctx, part, first))
	}

	var failure error
	select {
	case <-ctx.Done():
	case failure = <-first:
	}
	log.InfoContext(ctx, "stopping", "parts", len(parts), "drain", cmp.Or(drain, defaultDrain).String())

	deadline := time.NewTimer(cmp.Or(drain, defaultDrain))
	defer deadline.Stop()
	expired := false
	for i := len(all) - 1; i >= 0; i-- {
		p := all[i]
		p.stop()
		err := p.wait(deadline)
		if errors.Is(err, errTooLate) && !expired {
			expired = true
			deadline.Reset(lastCall)
		} else if errors.Is(err, errTooLate) {
			deadline.Reset(0) // the timer stays expired, so the remaining parts succeed only if they have already ended
		}
		switch {
		case err == nil:
			log.DebugContext(ctx, "part stopped", "part", p.name)
		case failure == nil:
			failure = err
		case !errors.Is(err, failure):
			log.ErrorContext(ctx, "part stopped", "part", p.name, "err", err)
		}
	}
	return failure
}

// start runs part in a new goroutine, which ends when part.Run returns.
func start(ctx context.Context, part Part, first chan<- error) *running {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &running{name: part.Name, stop: stop, done: make(chan error, 1)}
	go func() {
		err := part.Run(ctx)
		told := ctx.Err() != nil
		switch {
		case told && errors.Is(err, context.Canceled):
			err = nil // the error only reports our own cancellation
		case !told && err == nil:
			err = ErrStoppedByItself
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", part.Name, err)
		}
		p.done <- err
		if !told {
			first <- err
		}
	}()
	return p
}

var errTooLate = errors.New("did not stop within the drain deadline")

// wait returns the part's result, or errTooLate at the deadline. If the part has already ended by
// then, its result takes precedence.
func (p *running) wait(deadline *time.Timer) error {
	select {
	case err := <-p.done:
		return err
	default:
	}
	select {
	case err := <-p.done:
		return err
	case <-deadline.C:
		return fmt.Errorf("%s: %w", p.name, errTooLate)
	}
}

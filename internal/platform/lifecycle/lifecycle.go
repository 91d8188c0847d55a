// Package lifecycle runs the parts of a program together and stops them in order.
//
// Parts start in the order given and stop in the reverse order, one after another: a part may rely on
// those before it for as long as it runs, its own drain included. A part gets a context of its own,
// which ends when its turn has come and not when the program is told to stop.
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
	// defaultDrain is the drain deadline when none is given.
	defaultDrain = 30 * time.Second
	// lastCall is what all parts still running at the drain deadline get together, so that one part
	// that hangs does not keep those below it (a private database, say) from a clean end.
	lastCall = time.Second
)

// ErrStoppedByItself is the error of a part that returned nil before it was told to stop.
var ErrStoppedByItself = errors.New("stopped by itself")

// Part is a piece of a program. Run works until ctx ends, finishes what it has in hand, and returns;
// an error means that the program cannot go on. Run owns the goroutines it starts.
type Part struct {
	Name string
	Run  func(ctx context.Context) error
}

// running is a part that was started. done gets its result once.
type running struct {
	name string
	stop context.CancelFunc
	done chan error
}

// Run starts the parts and blocks until all of them have returned. They are stopped when ctx ends or
// when one of them returns. It gives back the first error, with the part's name, or nil after a clean
// stop. Stopping has to be done within drain (zero: 30 s): a part that takes longer is named in the
// error, and its goroutine left behind, so the program should exit.
func Run(ctx context.Context, log *slog.Logger, drain time.Duration, parts ...Part) error {
	all := make([]*running, 0, len(parts))
	first := make(chan error, len(parts)) // the parts that end, in the order in which they do
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
			deadline.Reset(0) // keep it expired: the parts that are left get the chance to have ended already
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

// start runs part in a goroutine of its own, which ends when part.Run returns.
func start(ctx context.Context, part Part, first chan<- error) *running {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &running{name: part.Name, stop: stop, done: make(chan error, 1)}
	go func() {
		err := part.Run(ctx)
		told := ctx.Err() != nil
		switch {
		case told && errors.Is(err, context.Canceled):
			err = nil // the only news in it is that we cancelled
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

// wait returns the result of the part, or errTooLate at the deadline. A part that has ended wins.
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

package streamworker

import (
	"context"
	"time"
)

// Task runs a periodic task once. A task that fails runs again at its next interval.
func (w *Worker) Task(ctx context.Context, step string, task func(context.Context) error) {
	err := runTask(ctx, task)
	switch {
	case err == nil:
		w.worked(ctx, step)
	case ctx.Err() == nil:
		w.failed(ctx, step, err)
	}
}

// RareTask is like Task, except that a failure is only logged and does not count as an outage. The
// next success of a task that runs rarely would be too late to mark the end of an outage.
func (w *Worker) RareTask(ctx context.Context, step string, task func(context.Context) error) {
	if err := runTask(ctx, task); err != nil && ctx.Err() == nil {
		w.streams.Retries.WithLabelValues(step).Inc()
		w.cfg.Logger.WarnContext(ctx, "a rare task failed", "step", w.streams.StepPrefix+step, "err", err)
	}
}

// taskTimeout bounds one run of a task.
const taskTimeout = 30 * time.Second

func runTask(ctx context.Context, task func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, taskTimeout)
	defer cancel()
	return task(ctx)
}

// Due reports whether the interval has passed since last. If it has, Due sets last to the current
// time.
func Due(last *time.Time, interval time.Duration) bool {
	if time.Since(*last) < interval {
		return false
	}
	*last = time.Now()
	return true
}

package client

import "time"

// WithClock returns cfg with the given clock, and with reconnection delays that are short enough
// for tests.
func WithClock(cfg Config, now func() time.Time) Config {
	cfg.now = now
	cfg.jitter = func(limit time.Duration) time.Duration {
		return min(upTo(limit), 5*time.Millisecond) + time.Millisecond
	}
	return cfg
}

// Judge returns how the client reacts to the end of a connection.
func Judge(err error) (final, token bool, after time.Duration) {
	v := judge(err)
	return v.final, v.token, v.after
}

var (
	MaxWait = maxWait
	UpTo    = upTo
	RenewIn = renewIn
)

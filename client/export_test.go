package client

import "time"

// WithClock gives a configuration another clock, and waits before connecting again that a test bears.
func WithClock(cfg Config, now func() time.Time) Config {
	cfg.now = now
	cfg.jitter = func(limit time.Duration) time.Duration {
		return min(upTo(limit), 5*time.Millisecond) + time.Millisecond
	}
	return cfg
}

// Judge is what the end of a connection means.
func Judge(err error) (final, token bool, after time.Duration) {
	v := judge(err)
	return v.final, v.token, v.after
}

var (
	Ceiling = ceiling
	UpTo    = upTo
	RenewIn = renewIn
)

package testkit

import "go.uber.org/goleak"

// Redialing returns an option that makes a leak check ignore go-redis's reconnecting goroutine.
// That goroutine tries to reach a stopped server once a second. It does not notice that the client
// was closed until its next attempt.
func Redialing() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")
}

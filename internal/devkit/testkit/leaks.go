package testkit

import "go.uber.org/goleak"

// Redialing returns an option that makes a leak check ignore go-redis's reconnecting goroutine.
// That goroutine tries once a second to reach a stopped server, and notices only at its next
// attempt that the client was closed.
func Redialing() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")
}

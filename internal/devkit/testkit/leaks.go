package testkit

import "go.uber.org/goleak"

// Redialing is a goroutine that a leak check has to pass over: go-redis tries once a second to reach a
// server that was stopped, and notices only at its next try that the client was closed.
func Redialing() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")
}

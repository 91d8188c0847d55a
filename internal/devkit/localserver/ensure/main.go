// Command ensure installs PostgreSQL and Redis where they are missing and it may. `make test` runs it
// first, so that the tests find the servers that they start.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"parley.chat/internal/devkit/localserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	found, err := localserver.Ensure(ctx, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ensure:", err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "PostgreSQL %s and Redis %s are there.\n", found.PostgresVersion, found.RedisVersion)
}

// Command ensure installs PostgreSQL and Redis if they are missing and a supported package manager
// is available. `make test` runs it first, so that the tests can start the servers.
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
	fmt.Fprintf(os.Stderr, "PostgreSQL %s and Redis %s are installed.\n", found.PostgresVersion, found.RedisVersion)
}

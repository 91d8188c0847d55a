// Command ensure installs PostgreSQL and Redis where they are missing and it may: `make test` runs it
// first, so that the tests find the servers that they start.
package main

import (
	"context"
	"fmt"
	"io"

	"parley.chat/internal/lifecycle"
	"parley.chat/internal/localserver"
)

func main() {
	lifecycle.Main(func(ctx context.Context, _ []string, _ func(string) string, stderr io.Writer) error {
		found, err := localserver.Ensure(ctx, stderr)
		if err != nil {
			return err
		}
		fmt.Fprintf(stderr, "PostgreSQL %s and Redis %s are there.\n", found.PostgresVersion, found.RedisVersion)
		return nil
	})
}

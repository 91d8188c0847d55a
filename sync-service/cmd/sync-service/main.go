// Command sync-service reads the events that the gateways append to Redis and stores them in
// PostgreSQL.
package main

import (
	"context"
	"io"
	"os"

	"parley.chat/internal/platform/lifecycle"
)

func main() {
	lifecycle.Main(func(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
		return run(ctx, args, getenv, os.Stdout, stderr)
	})
}

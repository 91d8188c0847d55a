// Command sync-service stores in PostgreSQL the events that the gateways append to Redis.
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

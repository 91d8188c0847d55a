// Command parley-probe checks a deployment end to end: it logs in like a user, sends a message,
// receives it from every gateway, and finds its row in PostgreSQL.
package main

import (
	"context"
	"io"
	"os"

	"parley.chat/internal/platform/lifecycle"
	"parley.chat/standalone/internal/probe"
)

func main() {
	lifecycle.Main(func(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
		return probe.Main(ctx, args, getenv, os.Stdout, stderr)
	})
}

// Command standalone runs all of Parley in one process, with a private PostgreSQL and a private
// Redis. See --help for its settings.
package main

import (
	"context"
	"io"
	"os"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/platform/lifecycle"
	"parley.chat/standalone"
	"parley.chat/standalone/internal/talk"
)

// quiet is a logger that discards go-redis's log messages. go-redis returns the same errors to its
// callers.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func main() {
	redis.SetLogger(quiet{})
	lifecycle.Main(func(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
		if len(args) > 0 && args[0] == "talk" {
			return talk.Run(ctx, args[1:], os.Stdin, os.Stdout, stderr)
		}
		return standalone.Run(ctx, args, getenv, stderr)
	})
}

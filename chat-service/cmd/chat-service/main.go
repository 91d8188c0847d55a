// Command chat-service serves Parley's REST surface.
package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	chatservice "parley.chat/chat-service"
	"parley.chat/internal/config"
	"parley.chat/internal/lifecycle"
	"parley.chat/internal/telemetry"
)

func main() { lifecycle.Main(run) }

func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
	var cfg chatservice.Config
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		config.Usage(stderr, "chat-service", cfg)
		return nil
	}
	if len(args) > 0 {
		return fmt.Errorf("unknown argument %q: settings come from the environment, see --help", args[0])
	}
	if err := config.Load(&cfg, getenv); err != nil {
		return err
	}
	return chatservice.Run(ctx, cfg, telemetry.NewLogger(stderr, "chat-service", cfg.LogLevel))
}

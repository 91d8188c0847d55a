// Command chat-service serves Parley's REST surface and its page, turns the keys that sign its access
// tokens, grants the operator role, suspends and restores users, and restores archived channels.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	chatservice "parley.chat/chat-service"
	"parley.chat/internal/config"
	"parley.chat/internal/garbage"
	"parley.chat/internal/lifecycle"
	"parley.chat/internal/telemetry"
)

func main() {
	lifecycle.Main(func(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
		return run(ctx, args, getenv, os.Stdout, stderr)
	})
}

// collector is how much garbage the program gathers. Little lives between requests, and what answers have
// left behind was collected so often that it took a sixth of the CPU.
var collector = garbage.Policy{Percent: 100, Room: 48 << 20}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	var cfg chatservice.Config
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		config.Usage(stderr, "chat-service", cfg)
		fmt.Fprint(stderr, keysUsage, operatorUsage, userUsage, channelUsage)
		return nil
	}
	if len(args) > 0 && !slices.Contains([]string{"keys", "operator", "user", "channel"}, args[0]) {
		return fmt.Errorf("unknown argument %q: settings come from the environment, see --help", args[0])
	}
	if err := config.Load(&cfg, getenv); err != nil {
		return err
	}
	switch {
	case len(args) == 0:
	case args[0] == "operator":
		return operator(ctx, stdout, args[1:], cfg)
	case args[0] == "user":
		return user(ctx, stdout, args[1:], cfg)
	case args[0] == "channel":
		return channelCommand(ctx, stdout, args[1:], cfg)
	default:
		return keys(stdout, args[1:], cfg.KeysDir, cfg.AccessTTL)
	}
	if getenv("GOGC") == "" {
		collector.Keep()
	}
	return chatservice.Run(ctx, cfg, telemetry.NewLogger(stderr, "chat-service", cfg.LogLevel))
}

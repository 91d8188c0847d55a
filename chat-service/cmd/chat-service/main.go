// Command chat-service serves Parley's REST API and web page. Its subcommands rotate the keys that
// sign access tokens, grant the operator role, suspend and restore users, and restore archived
// channels.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	chatservice "parley.chat/chat-service"
	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/gctune"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/internal/platform/telemetry"
)

func main() {
	lifecycle.Main(func(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
		return run(ctx, args, getenv, os.Stdout, stderr)
	})
}

// collector is the garbage collection policy. Because the live heap is small, the default policy
// ran the garbage collector so often that it used a sixth of the CPU time.
var collector = gctune.Policy{Percent: 100, Room: 48 << 20}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	var cfg chatservice.Config
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		config.Usage(stderr, "chat-service", cfg)
		fmt.Fprint(stderr, keysUsage, operatorUsage, userUsage, channelUsage)
		return nil
	}
	if len(args) > 0 && !slices.Contains([]string{"keys", "operator", "user", "channel"}, args[0]) {
		return fmt.Errorf("unknown argument %q; settings are read from the environment, see --help", args[0])
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

// Command script is the floor of ingest: the whole append script against one Redis, pipelined, with
// nothing around it. No gateway, no sockets, no acks to anyone, nobody subscribed.
//
// It has no copy of the script. It lets the appender of internal/eventlog append one event to each
// channel, watches the commands that it sends, and then sends those again, byte for byte, with fresh
// event and client ids: one event per call, as many calls on their way as asked for.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	url := flag.String("redis", "", "the address of Redis, as REDIS_URL has it")
	events := flag.Int("events", 200_000, "how many events to append, about")
	channels := flag.Int("channels", 50, "to how many channels")
	window := flag.Int("window", 256, "calls on their way at a time")
	body := flag.Int("body", 100, "bytes of a message's body")
	flag.Parse()
	if err := run(context.Background(), *url, *events, *channels, *window, *body); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string, events, channels, window, body int) error {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return fmt.Errorf("parse --redis: %w", err)
	}
	calls, err := record(ctx, opts, channels, body)
	if err != nil {
		return err
	}
	took, err := replay(ctx, opts, calls, events, window)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"events": events, "seconds": took.Seconds(), "events_per_second": float64(events) / took.Seconds(),
	})
}

// patience bounds a run that hangs.
const patience = 2 * time.Minute

// Command script is the floor of the ingest scenario. It only calls the append script on one Redis
// server, with pipelining. There is no gateway, no WebSocket, no ack to a client and no subscriber.
//
// It contains no copy of the script. First it makes internal/eventlog's appender append one event
// to each channel, and records the commands. Then it replays these commands, replacing only the
// event and client ids. Each call appends one event, and the requested number of calls is in
// flight.
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
	url := flag.String("redis", "", "URL of Redis, in the format of REDIS_URL")
	events := flag.Int("events", 200_000, "number of events to append")
	channels := flag.Int("channels", 50, "number of channels to append to")
	window := flag.Int("window", 256, "maximum number of calls in flight")
	body := flag.Int("body", 100, "size of a message body in bytes")
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

// runTimeout ends a run that hangs.
const runTimeout = 2 * time.Minute

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// call is a command as it goes over the wire, and where its event's ids stand in it.
type call struct {
	wire    []byte
	eventID []int
	client  []int
}

// tap keeps the arguments of the last script call. mu guards it: the appender calls from its own
// goroutine.
type tap struct {
	mu   sync.Mutex
	last []any
}

// DialHook implements redis.Hook.
func (*tap) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (t *tap) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { t.see(cmd); return next(ctx, cmd) }
}

// ProcessPipelineHook implements redis.Hook.
func (t *tap) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			t.see(cmd)
		}
		return next(ctx, cmds)
	}
}

func (t *tap) see(cmd redis.Cmder) {
	if strings.EqualFold(cmd.Name(), "evalsha") {
		t.mu.Lock()
		t.last = cmd.Args()
		t.mu.Unlock()
	}
}

// record appends an event to each channel and returns the calls that did it.
func record(ctx context.Context, opts *redis.Options, channels, body int) (calls []*call, err error) {
	plain := *opts
	plain.MaxRetries = -1
	rdb := redis.NewClient(&plain)
	defer rdb.Close()
	seen := &tap{}
	rdb.AddHook(seen)
	appender := eventlog.NewAppender(eventlog.New(rdb, 16), rdb,
		func(context.Context, chat.ChannelID) (int64, error) { return 0, nil }, eventlog.AppenderConfig{Logger: slog.Default()})
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { err = errors.Join(err, appender.Run(ctx)) })
	defer running.Wait()
	defer cancel()
	sender := chat.NewUserID()
	for range channels {
		client := chat.NewClientID()
		e := frame.Event{
			Type: event.Message, ChannelID: chat.NewChannelID(), ID: chat.NewEventID(), ClientID: &client, SenderID: sender,
			SenderName: "load-0", Body: strings.Repeat("x", body), SentAt: chat.Now(),
		}
		if _, err := appender.Append(ctx, e, eventlog.AppendOptions{}); err != nil {
			return nil, fmt.Errorf("append the event that is recorded: %w", err)
		}
		seen.mu.Lock()
		c, err := encode(seen.last, e.ID.String(), client.String())
		seen.mu.Unlock()
		if err != nil {
			return nil, err
		}
		calls = append(calls, c)
	}
	return calls, nil
}

// encode writes a command as Redis reads it and finds the ids in it.
func encode(args []any, eventID, client string) (*call, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		var text string
		switch a := arg.(type) {
		case string:
			text = a
		case []byte:
			text = string(a)
		default:
			text = fmt.Sprint(a)
		}
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(text), text)
	}
	c := &call{wire: b.Bytes()}
	c.eventID, c.client = find(c.wire, eventID), find(c.wire, client)
	if len(c.eventID) == 0 || len(c.client) == 0 {
		return nil, errors.New("the recorded call does not hold its event's ids: this floor no longer fits the script")
	}
	return c, nil
}

func find(b []byte, text string) (at []int) {
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(text))
		if i < 0 {
			return at
		}
		at = append(at, from+i)
		from += i + len(text)
	}
}

// refresh gives the call an event of its own, the nth.
func (c *call) refresh(n int) []byte {
	var id [36]byte
	copy(id[:], "00000000-0000-7000-8000-000000000000")
	const hex = "0123456789abcdef"
	for i := 35; n > 0; i, n = i-1, n>>4 {
		id[i] = hex[n&15]
	}
	for _, at := range c.eventID {
		copy(c.wire[at:], id[:])
	}
	id[14] = '4'
	for _, at := range c.client {
		copy(c.wire[at:], id[:])
	}
	return c.wire
}

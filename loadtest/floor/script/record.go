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
	"parley.chat/internal/eventlog/appender"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// call is an encoded script call and the offsets of the event's ids in it.
type call struct {
	wire    []byte
	eventID []int
	client  []int
}

// tap records the bytes of the most recent script call.
type tap struct {
	net.Conn
	seen *recording
}

type recording struct {
	mu   sync.Mutex
	last []byte
}

// Write implements net.Conn. It relies on the client writing each script call with a single Write.
func (t tap) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("\r\nEVALSHA\r\n")) {
		t.seen.mu.Lock()
		t.seen.last = bytes.Clone(b)
		t.seen.mu.Unlock()
	}
	return t.Conn.Write(b)
}

// record appends an event to each channel and returns the calls that appended them.
func record(ctx context.Context, opts *redis.Options, channels, body int) (calls []*call, err error) {
	plain := *opts
	plain.MaxRetries = -1
	seen := &recording{}
	dial := plain.NewDialer()
	plain.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return tap{c, seen}, err
	}
	rdb := redis.NewClient(&plain)
	defer rdb.Close()
	a := appender.New(eventlog.New(rdb, 16), rdb,
		func(context.Context, chat.ChannelID) (int64, error) { return 0, nil }, appender.Config{Logger: slog.Default()})
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { err = errors.Join(err, a.Run(ctx)) })
	defer running.Wait()
	defer cancel()
	sender := chat.NewUserID()
	for range channels {
		client := chat.NewClientID()
		e := frame.Event{
			Type: event.Message, ChannelID: chat.NewChannelID(), ID: chat.NewEventID(), ClientID: &client, SenderID: sender,
			SenderName: "load-0", Body: strings.Repeat("x", body), SentAt: chat.Now(),
		}
		if _, err := a.Append(ctx, e, appender.Options{}); err != nil {
			return nil, fmt.Errorf("append the event to record: %w", err)
		}
		seen.mu.Lock()
		c, err := callOf(seen.last, e.ID.String(), client.String())
		seen.mu.Unlock()
		if err != nil {
			return nil, err
		}
		calls = append(calls, c)
	}
	return calls, nil
}

// callOf converts a recorded command to a call. It fails if the command does not contain the given
// ids.
func callOf(wire []byte, eventID, client string) (*call, error) {
	c := &call{wire: wire}
	c.eventID, c.client = find(c.wire, eventID), find(c.wire, client)
	if len(c.eventID) == 0 || len(c.client) == 0 {
		return nil, errors.New("the recorded call does not contain its event's ids: this floor no longer matches the script")
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

// refresh replaces the ids in the call with unique ids for event n, and returns the call's bytes.
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

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// replay sends one call per event over one connection, cycling through calls, with at most window
// calls in flight. It returns the time until the last call was answered.
func replay(ctx context.Context, opts *redis.Options, calls []*call, events, window int) (time.Duration, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, opts.Network, opts.Addr)
	if err != nil {
		return 0, fmt.Errorf("connect to Redis: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(runTimeout)); err != nil {
		return 0, fmt.Errorf("set the deadline of the run: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	// For each value that the writer receives from free, it sends a batch of at most step calls.
	// The writer and the reader therefore synchronize once per batch, not once per call.
	step := max(window/8, 1)
	free := make(chan struct{}, 8)
	for range cap(free) {
		free <- struct{}{}
	}
	began := time.Now()
	g.Go(func() error {
		out := bufio.NewWriterSize(conn, 256<<10)
		for sent := 0; sent < events; {
			select {
			case <-free:
			case <-ctx.Done():
				return ctx.Err()
			}
			for range min(step, events-sent) {
				if _, err := out.Write(calls[sent%len(calls)].refresh(sent + 1)); err != nil {
					return err
				}
				sent++
			}
			if err := out.Flush(); err != nil {
				return err
			}
		}
		return nil
	})
	g.Go(func() error {
		in := bufio.NewReaderSize(conn, 256<<10)
		for got := 1; got <= events; got++ {
			if err := answer(in); err != nil {
				return err
			}
			if got%step == 0 {
				select {
				case free <- struct{}{}:
				default:
				}
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return 0, fmt.Errorf("append %d events: %w", events, err)
	}
	return time.Since(began), nil
}

// answer reads the reply to one call: an array whose second element begins with "ok".
func answer(in *bufio.Reader) error {
	line, err := readLine(in)
	if err != nil {
		return err
	}
	if line != "*2" {
		return fmt.Errorf("the script answered %q", line)
	}
	for range 2 {
		if line, err = readLine(in); err != nil {
			return err
		}
		n, err := strconv.Atoi(strings.TrimPrefix(line, "$"))
		if err != nil || n < 0 {
			return fmt.Errorf("the script answered %q", line)
		}
		if line, err = readLine(in); err != nil {
			return err
		}
	}
	if !strings.HasPrefix(line, "ok ") {
		return fmt.Errorf("the script answered %q", line)
	}
	return nil
}

func readLine(in *bufio.Reader) (string, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return "", errors.New("the answer is not valid RESP")
	}
	return string(line[:len(line)-2]), nil
}

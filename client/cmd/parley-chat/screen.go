package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"parley.chat/client"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

const (
	// historyLines is the number of messages shown when the user switches to a channel.
	historyLines = 15
	// flushTimeout limits the wait for the next acknowledgement after the input has ended. The
	// delay caused by the server's rate limit is added to it.
	flushTimeout = 10 * time.Second
	// maxUnsent is the maximum number of unacknowledged lines. At this limit, no more lines are
	// read from a pipe.
	maxUnsent = 100
)

// screen prints events and sends the input. Only the goroutine that executes run uses it.
type screen struct {
	c     *client.Client
	out   io.Writer
	piped bool // no user reads the output, so failed sends are reported at the end

	names    map[chat.UserID]string
	peers    map[chat.ChannelID]string // the other user of each direct channel
	channels map[chat.ChannelID]frame.ChannelSummary
	snippets snippets
	typing   map[chat.UserID]bool

	current  chat.ChannelID
	shown    int64        // seq up to which the current channel's messages have been shown
	chosen   bool         // whether the user has chosen a channel; if so, none is chosen automatically
	lastMine chat.EventID // the user's most recent message in the current channel
	last     chat.EventID

	unsent  []draft // sent lines that the server has not acknowledged yet, in order
	refused int     // number of inputs that were not sent
	busy    int     // number of running tasks
	tasks   sync.WaitGroup
	later   chan done // results of tasks
}

// draft is input that is being sent.
type draft struct {
	id   chat.ClientID
	text string
}

// done is the result of a task that waited for the server's reply.
type done struct {
	what, text string
	err        error
}

func newScreen(c *client.Client, out io.Writer) *screen {
	return &screen{
		c: c, out: out, names: map[chat.UserID]string{}, peers: map[chat.ChannelID]string{},
		channels: map[chat.ChannelID]frame.ChannelSummary{}, typing: map[chat.UserID]bool{}, later: make(chan done),
	}
}

// run handles events and input until ctx is done, the server ends the session, or all input has
// been sent. join is the id of a channel to join, or empty.
func (s *screen) run(ctx context.Context, input *bufio.Scanner, join string) error {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	s.tasks.Go(func() { ended <- s.c.Run(ctx) })
	defer s.tasks.Wait()
	defer stop()
	if join != "" {
		if err := s.execute(ctx, "/join", join); err != nil {
			return fmt.Errorf("join %s: %w", join, describe(err)) // the input must not be sent to another channel
		}
	}
	lines := readLines(ctx, input)
	var read error                // error from reading the input
	var deadline <-chan time.Time // set once the input has ended
	for waited := 0; ; {
		left := len(s.unsent) + s.busy
		next := lines
		switch {
		case deadline != nil && left == 0:
			return s.result(read)
		case deadline != nil && left != waited:
			deadline = time.After(s.flushTimeout())
		case s.piped && left >= maxUnsent:
			next = nil
		}
		waited = left
		select {
		case e, ok := <-s.c.Events():
			if !ok {
				if err := <-ended; err != nil {
					s.abandon()
					return describe(err)
				}
				return nil
			}
			s.show(ctx, e)
		case line, ok := <-next:
			if !ok {
				read = input.Err()
			}
			if !ok || !s.typed(ctx, line) {
				lines, deadline = nil, time.After(s.flushTimeout())
			}
		case d := <-s.later:
			s.done(d)
		case <-deadline:
			s.abandon()
			return s.result(read)
		case <-ctx.Done():
			return nil
		}
	}
}

// abandon reports the lines that will not be sent.
func (s *screen) abandon() {
	for _, d := range s.unsent {
		s.refuse(d.text, errors.New("the server has not acknowledged it"))
	}
	s.refused += s.busy
	s.piped = true // the user cannot see the result anymore
}

func (s *screen) flushTimeout() time.Duration {
	return flushTimeout + time.Duration(s.c.Limits().RateSeconds)*time.Second
}

// result returns the error that run returns after the input has ended.
func (s *screen) result(read error) error {
	switch {
	case read != nil:
		return fmt.Errorf("read the input: %w", read)
	case s.piped && s.refused > 0:
		return fmt.Errorf("%d inputs were not sent", s.refused)
	}
	return nil
}

// readLines starts a goroutine that reads lines. A read from a terminal cannot be interrupted, so
// the goroutine ends at the end of the input, or at the next line after ctx is done.
func readLines(ctx context.Context, input *bufio.Scanner) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for input.Scan() {
			select {
			case lines <- input.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// refuse reports a line that was not sent and counts it.
func (s *screen) refuse(what string, err error) {
	s.refused++
	s.note("✗ not sent: %s: %v", what, describe(err))
}

// post sends a message.
func (s *screen) post(to client.To, text string) {
	id, err := s.c.Post(to, text)
	if err != nil {
		s.refuse(text, err)
		return
	}
	s.unsent = append(s.unsent, draft{id: id, text: text})
}

// settle removes an acknowledged or refused message from unsent, and returns its text.
func (s *screen) settle(id chat.ClientID) (text string) {
	i := slices.IndexFunc(s.unsent, func(d draft) bool { return d.id == id })
	if i < 0 {
		return "a message"
	}
	text = s.unsent[i].text
	s.unsent = slices.Delete(s.unsent, i, i+1)
	return text
}

// start runs a task in its own goroutine, because the goroutine that receives events must not wait
// for a reply.
func (s *screen) start(ctx context.Context, what string, do func() (text string, err error)) {
	s.busy++
	s.tasks.Go(func() {
		text, err := do()
		select {
		case s.later <- done{what: what, text: text, err: err}:
		case <-ctx.Done():
		}
	})
}

func (s *screen) done(d done) {
	s.busy--
	switch {
	case d.err != nil:
		s.refused++
		s.note("✗ %s: %v", d.what, describe(d.err))
	case d.text != "":
		s.note("%s", d.text)
	}
}

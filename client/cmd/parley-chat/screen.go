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
	// historyLines is how much of a channel is shown when one turns to it.
	historyLines = 15
	// flushWithin is how long one waits at the end for an acknowledgement, beyond what the server's rate
	// limit takes.
	flushWithin = 10 * time.Second
	// maxUnsent is how many lines of a pipe are read ahead of their acknowledgements.
	maxUnsent = 100
)

// screen prints what comes and sends what is typed. Only the goroutine of run uses it.
type screen struct {
	c     *client.Client
	out   io.Writer
	piped bool // nobody sees at once what was not sent, so the end says it

	names    map[chat.UserID]string
	peers    map[chat.ChannelID]string // whom a direct channel is with
	channels map[chat.ChannelID]frame.ChannelSummary
	said     snippets
	typing   map[chat.UserID]bool

	current  chat.ChannelID
	shown    int64        // how far the current channel has been shown
	turned   bool         // the user has been in a channel: none is turned to unasked
	lastMine chat.EventID // in the current channel
	last     chat.EventID

	unsent  []draft // what was typed and is not acknowledged, in order
	refused int     // how much of what was typed was not sent
	busy    int     // how many tasks are under way
	tasks   sync.WaitGroup
	later   chan done // their ends
}

// draft is something that was typed and is on its way.
type draft struct {
	id   chat.ClientID
	text string
}

// done is the end of what waits for an answer that comes as an event.
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

// run talks until ctx ends, the server says that it is over, or the input ends and what was typed is sent.
// join is a channel's id, or empty.
func (s *screen) run(ctx context.Context, input *bufio.Scanner, join string) error {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	s.tasks.Go(func() { ended <- s.c.Run(ctx) })
	defer s.tasks.Wait()
	defer stop()
	if join != "" {
		if err := s.obey(ctx, "/join", join); err != nil {
			return fmt.Errorf("join %s: %w", join, describe(err)) // what is typed must not go elsewhere
		}
	}
	lines := readLines(ctx, input)
	var read error                // why the input has ended
	var patience <-chan time.Time // from its end on
	for waited := 0; ; {
		left := len(s.unsent) + s.busy
		next := lines
		switch {
		case patience != nil && left == 0:
			return s.result(read)
		case patience != nil && left != waited:
			patience = time.After(s.flushWithin())
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
				lines, patience = nil, time.After(s.flushWithin())
			}
		case d := <-s.later:
			s.done(d)
		case <-patience:
			s.abandon()
			return s.result(read)
		case <-ctx.Done():
			return nil
		}
	}
}

// abandon says what is given up.
func (s *screen) abandon() {
	for _, d := range s.unsent {
		s.refuse(d.text, errors.New("the server has not acknowledged it"))
	}
	s.refused += s.busy
	s.piped = true // whoever typed it does not see what becomes of it
}

func (s *screen) flushWithin() time.Duration {
	return flushWithin + time.Duration(s.c.Limits().RateSeconds)*time.Second
}

// result is what the end of the input ends with.
func (s *screen) result(read error) error {
	switch {
	case read != nil:
		return fmt.Errorf("read what is typed: %w", read)
	case s.piped && s.refused > 0:
		return fmt.Errorf("not sent: %d of what was typed", s.refused)
	}
	return nil
}

// readLines starts the reader of lines. A read of a terminal cannot be interrupted: the goroutine ends
// with the input, or at the next line after ctx has ended.
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

// refuse says that something is not sent, and remembers that.
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

// settle takes what has been acknowledged, or refused, from what is on its way.
func (s *screen) settle(id chat.ClientID) (text string) {
	i := slices.IndexFunc(s.unsent, func(d draft) bool { return d.id == id })
	if i < 0 {
		return "a message"
	}
	text = s.unsent[i].text
	s.unsent = slices.Delete(s.unsent, i, i+1)
	return text
}

// start begins what waits for an answer that comes as an event: the goroutine that takes events must not.
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

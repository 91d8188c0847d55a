package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"parley.chat/client"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// historyLines is how much of a channel is shown when one turns to it.
const historyLines = 15

// screen prints what comes and sends what is typed. Only the goroutine of run uses it.
type screen struct {
	c   *client.Client
	out io.Writer

	names    map[chat.UserID]string
	channels map[chat.ChannelID]frame.ChannelSummary
	current  chat.ChannelID
	lastMine chat.EventID // in the current channel
	last     chat.EventID
	typing   map[chat.UserID]bool

	tasks sync.WaitGroup // what waits for an answer that comes as an event
	later chan string    // notes of tasks
}

func newScreen(c *client.Client, out io.Writer) *screen {
	return &screen{
		c: c, out: out, names: map[chat.UserID]string{}, channels: map[chat.ChannelID]frame.ChannelSummary{}, typing: map[chat.UserID]bool{}, later: make(chan string),
	}
}

// run talks until the input or ctx ends, or the server says that it is over. join is a channel's id, or
// empty.
func (s *screen) run(ctx context.Context, input *bufio.Scanner, join string) error {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	s.tasks.Go(func() { ended <- s.c.Run(ctx) })
	defer s.tasks.Wait()
	defer stop()
	if join != "" {
		s.command(ctx, "/join "+join)
	}
	lines := readLines(ctx, input)
	for {
		select {
		case e, ok := <-s.c.Events():
			if !ok {
				if err := <-ended; err != nil {
					return describe(err)
				}
				return nil
			}
			s.show(ctx, e)
		case line, ok := <-lines:
			if !ok || !s.typed(ctx, line) {
				return nil
			}
		case text := <-s.later:
			s.note("%s", text)
		case <-ctx.Done():
			return nil
		}
	}
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

// show prints an event.
func (s *screen) show(ctx context.Context, e client.Event) {
	switch e := e.(type) {
	case client.Connection:
		s.connection(e)
	case client.Joined:
		s.channels[e.Channel.ChannelID] = e.Channel
		s.note("in %s, %d unread; %s", s.name(e.Channel.ChannelID), e.Channel.Unread, e.Channel.ChannelID)
		if s.current.IsZero() {
			s.turnTo(ctx, e.Channel.ChannelID)
		}
	case client.Left:
		s.note("not in %s any more", s.name(e.ChannelID))
		delete(s.channels, e.ChannelID)
	case client.Reset:
		s.note("something is missing in %s; this is its newest", s.name(e.ChannelID))
		s.history(ctx, e.ChannelID, historyLines)
	case client.Status:
		s.status(e)
	case client.Typing:
		if e.ChannelID == s.current && e.UserID != s.c.Me() && s.typing[e.UserID] != e.Typing {
			s.typing[e.UserID] = e.Typing
			if e.Typing {
				s.note("%s is typing", cmp.Or(s.names[e.UserID], "somebody"))
			}
		}
	case client.ChannelEvent:
		s.event(e)
	}
}

func (s *screen) connection(e client.Connection) {
	switch e.State {
	case client.Online:
		s.note("online")
	case client.Offline:
		s.note("offline, again in %v (%v)", e.Wait.Round(1e8), e.Err)
	}
}

// status prints how far a message has come: ✓ is durable, ✓✓ has arrived.
func (s *screen) status(e client.Status) {
	if e.Kind != event.Message && e.State != client.Failed {
		return
	}
	switch e.State {
	case client.Sent:
		s.note("✓ %d", e.Seq)
	case client.Delivered:
		s.note("✓✓ %d", e.Seq)
	case client.Read:
		s.note("✓✓ %d read", e.Seq)
	case client.Failed:
		s.note("✗ not sent: %v", describe(e.Err))
	}
}

// event prints an event of a channel, and says that it has arrived and been seen.
func (s *screen) event(e client.ChannelEvent) {
	here := e.ChannelID == s.current
	switch e.Type {
	case event.Message:
		s.names[e.SenderID] = e.SenderName
		s.typing[e.SenderID] = false
		s.line(e.ChannelID, e.SentAt, e.SenderName, e.Body, "")
		if here {
			s.remember(e.ID, e.Mine)
		}
	case event.Edit:
		s.line(e.ChannelID, e.SentAt, s.names[e.SenderID], e.Body, "edited")
	case event.Delete:
		s.line(e.ChannelID, e.SentAt, s.names[e.SenderID], "", "deleted a message")
	case event.Reaction:
		if !e.Remove {
			s.line(e.ChannelID, e.SentAt, s.names[e.SenderID], e.Emoji, "")
		}
	case event.MemberJoined, event.MemberLeft:
		s.note("%s: %s %s", s.name(e.ChannelID), e.Username, map[event.Kind]string{event.MemberJoined: "joined", event.MemberLeft: "left"}[e.Type])
	}
	if here {
		s.c.Read(e.ChannelID, e.Seq)
	} else {
		s.c.Delivered(e.ChannelID, e.Seq)
	}
}

func (s *screen) remember(id chat.EventID, mine bool) {
	s.last = id
	if mine {
		s.lastMine = id
	}
}

// turnTo makes a channel the one that gets what is typed.
func (s *screen) turnTo(ctx context.Context, id chat.ChannelID) {
	s.current, s.last, s.lastMine = id, chat.EventID{}, chat.EventID{}
	s.note("talking in %s", s.name(id))
	s.history(ctx, id, historyLines)
}

// history prints the newest messages of a channel.
func (s *screen) history(ctx context.Context, id chat.ChannelID, n int) {
	messages, err := s.c.API().Newest(ctx, id, n)
	if err != nil {
		s.note("no history: %v", describe(err))
		return
	}
	for _, m := range messages {
		s.names[m.SenderID] = m.SenderName
		mark := ""
		switch {
		case !m.DeletedAt.IsZero():
			mark = "deleted"
		case !m.EditedAt.IsZero():
			mark = "edited"
		}
		s.line(id, m.SentAt, m.SenderName, m.Body, mark)
		if id == s.current {
			s.remember(m.ID, m.SenderID == s.c.Me())
		}
	}
	if n := len(messages); n > 0 && id == s.current {
		s.c.Read(id, messages[n-1].Seq)
	}
}

func (s *screen) line(id chat.ChannelID, at chat.Time, who, body, mark string) {
	if mark != "" {
		mark = " (" + mark + ")"
	}
	fmt.Fprintf(s.out, "[%s] %s %s: %s%s\n", s.name(id), at.Local().Format("15:04"), cmp.Or(who, "somebody"), body, mark)
}

func (s *screen) note(format string, args ...any) { fmt.Fprintf(s.out, "  · "+format+"\n", args...) }

func (s *screen) name(id chat.ChannelID) string {
	ch, ok := s.channels[id]
	switch {
	case ok && ch.Name != "":
		return ch.Name
	case ok && ch.Kind == chat.Direct:
		return "direct " + id.String()[:8]
	}
	return id.String()[:8]
}

var errNoChannel = errors.New("no channel: /create NAME, /join ID or /dm USER TEXT")

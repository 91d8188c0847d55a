package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"parley.chat/client"
	"parley.chat/shared-contracts/chat"
)

const commands = `Commands:
  /create NAME       make a channel that whoever knows its id may join
  /join ID           come into a channel
  /to NAME           turn to another channel of yours
  /list              your channels
  /dm USER TEXT      write to a user
  /edit TEXT         give your last message another text
  /delete            take your last message away
  /react EMOJI       on the last message
  /who               who is online here
  /history           the newest messages
  /leave             leave the channel
  /quit
`

// typed sends a line, or does what it says. It reports false when the user wants to go.
func (s *screen) typed(ctx context.Context, line string) bool {
	line = strings.TrimSpace(line)
	switch {
	case line == "":
		return true
	case line == "/quit":
		return false
	case strings.HasPrefix(line, "/"):
		s.command(ctx, line)
		return true
	case s.current.IsZero():
		s.note("%v", errNoChannel)
		return true
	}
	if _, err := s.c.Post(client.ToChannel(s.current), line); err != nil {
		s.note("✗ not sent: %v", err)
	}
	return true
}

func (s *screen) command(ctx context.Context, line string) {
	name, rest, _ := strings.Cut(line, " ")
	if err := s.obey(ctx, name, strings.TrimSpace(rest)); err != nil {
		s.note("%s: %v", name, describe(err))
	}
}

func (s *screen) obey(ctx context.Context, name, rest string) error {
	switch name {
	case "/create":
		ch, err := s.c.API().CreateChannel(ctx, rest, chat.Unlisted)
		if err == nil {
			s.current = ch.ID
			s.note("others join with /join %s", ch.ID)
		}
		return err
	case "/join":
		id, err := chat.ParseChannelID(rest)
		if err == nil {
			_, err = s.c.API().JoinChannel(ctx, id)
		}
		if err == nil {
			s.turnTo(ctx, id)
		}
		return err
	case "/list":
		for id, ch := range s.channels {
			s.note("%s %s, %s", id, s.name(id), ch.Kind)
		}
		return nil
	case "/to":
		for id := range s.channels {
			if s.name(id) == rest || id.String() == rest {
				s.turnTo(ctx, id)
				return nil
			}
		}
		return fmt.Errorf("no channel %q of yours: /list", rest)
	case "/dm":
		return s.direct(ctx, rest)
	case "/help":
		fmt.Fprint(s.out, commands)
		return nil
	}
	return s.here(ctx, name, rest)
}

// here is what is done in the current channel. What waits for an answer of the socket must not do so in
// the goroutine that takes events.
func (s *screen) here(ctx context.Context, name, rest string) error {
	if s.current.IsZero() {
		return errNoChannel
	}
	id, mine, last := s.current, s.lastMine, s.last
	later := func(of chat.EventID, do func() (client.Ack, error)) error {
		if of.IsZero() {
			return errors.New("there is no message to do that with")
		}
		s.tasks.Go(func() { _, _ = do() }) // a Status says how it went; it ends with Run
		return nil
	}
	switch name {
	case "/edit":
		return later(mine, func() (client.Ack, error) { return s.c.Edit(ctx, id, mine, rest) })
	case "/delete":
		return later(mine, func() (client.Ack, error) { return s.c.Delete(ctx, id, mine) })
	case "/react":
		return later(last, func() (client.Ack, error) { return s.c.React(ctx, id, last, rest, false) })
	case "/history":
		s.history(ctx, id, historyLines)
		return nil
	case "/leave":
		s.current = chat.ChannelID{}
		return s.c.API().LeaveChannel(ctx, id)
	case "/who":
		s.tasks.Go(func() { // its answer is a frame, too
			online, err := s.c.WhoIsOnline(ctx, id)
			text := fmt.Sprintf("%d online", len(online))
			if err != nil {
				text = err.Error()
			}
			select {
			case s.later <- text:
			case <-ctx.Done():
			}
		})
		return nil
	}
	return errors.New("no such command: /help")
}

// direct writes to a user by name.
func (s *screen) direct(ctx context.Context, rest string) error {
	name, text, _ := strings.Cut(rest, " ")
	users, err := s.c.API().FindUsers(ctx, name)
	if err != nil {
		return err
	}
	for _, u := range users {
		if strings.EqualFold(u.Username, name) {
			_, err := s.c.Post(client.ToUser(u.ID), text)
			return err
		}
	}
	return fmt.Errorf("no user %q", name)
}

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
  /create NAME       create a channel that anyone who knows its id may join
  /join ID           join a channel
  /to NAME           switch to another of your channels, or to the direct channel with a user
  /list              list your channels
  /dm USER [TEXT]    write to a user; without TEXT, switch to the direct channel with that user
  /edit TEXT         replace the text of your last message
  /delete            delete your last message
  /react EMOJI       react to the last message
  /unreact EMOJI     remove your reaction
  /who               show who is online here
  /history           show the newest messages
  /leave             leave the channel
  /quit
`

var (
	errNoChannel = errors.New("no channel: /to NAME, /create NAME, /join ID or /dm USER TEXT")
	errNoMessage = errors.New("there is no message to apply that to")
	errNoText    = errors.New("missing argument: /help")
)

// typed sends a typed line as a message or runs it as a command. It returns false if the user wants
// to quit.
func (s *screen) typed(ctx context.Context, line string) bool {
	line = strings.TrimSpace(line)
	switch {
	case line == "":
	case line == "/quit":
		return false
	case strings.HasPrefix(line, "/"):
		s.command(ctx, line)
	case s.current.IsZero():
		s.refuse(line, errNoChannel)
	default:
		s.post(client.ToChannel(s.current), line)
	}
	return true
}

func (s *screen) command(ctx context.Context, line string) {
	name, rest, _ := strings.Cut(line, " ")
	if err := s.execute(ctx, name, strings.TrimSpace(rest)); err != nil {
		s.refused++
		s.note("%s: %v", name, describe(err))
	}
}

func (s *screen) execute(ctx context.Context, name, rest string) error {
	switch name {
	case "/create":
		ch, err := s.c.API().CreateChannel(ctx, rest, chat.Unlisted)
		if err == nil {
			s.addChannel(ch)
			s.at(ch.ID)
			s.note("others join with /join %s", ch.ID)
		}
		return err
	case "/join":
		id, err := chat.ParseChannelID(rest)
		if err == nil {
			var ch client.Channel
			if ch, err = s.c.API().JoinChannel(ctx, id); err == nil {
				s.addChannel(ch)
			}
		}
		return s.switchOrClear(ctx, id, err)
	case "/list":
		for id, ch := range s.channels {
			s.note("%s %s, %s", id, s.name(id), ch.Kind)
		}
		return nil
	case "/to":
		id, err := s.find(rest)
		return s.switchOrClear(ctx, id, err)
	case "/dm":
		return s.direct(ctx, rest)
	case "/help":
		fmt.Fprint(s.out, commands)
		return nil
	}
	return s.here(ctx, name, rest)
}

// switchOrClear switches to a channel if err is nil. Otherwise it selects no channel, so that the
// next input is not sent to the previous channel, and returns err.
func (s *screen) switchOrClear(ctx context.Context, id chat.ChannelID, err error) error {
	if err == nil {
		s.switchTo(ctx, id)
		return nil
	}
	if !s.current.IsZero() {
		s.note("no longer talking in %s", s.name(s.current))
	}
	s.at(chat.ChannelID{})
	return err
}

// find returns the channel with the given name or id. If no channel matches, it returns the direct
// channel with the user of that name.
func (s *screen) find(name string) (chat.ChannelID, error) {
	var called, with []chat.ChannelID
	for id := range s.channels {
		switch {
		case id.String() == name:
			return id, nil
		case s.name(id) == name:
			called = append(called, id)
		case s.peers[id] != "" && strings.EqualFold(s.peers[id], strings.TrimPrefix(name, "@")):
			with = append(with, id)
		}
	}
	if len(called) == 0 {
		called = with
	}
	switch len(called) {
	case 0:
		return chat.ChannelID{}, fmt.Errorf("you have no channel %q: /list", name)
	case 1:
		return called[0], nil
	}
	return chat.ChannelID{}, fmt.Errorf("you have %d channels called %q: /list shows their ids", len(called), name)
}

// here runs a command in the current channel. A command that waits for a reply over the WebSocket
// runs in its own goroutine, because the calling goroutine must keep receiving events.
func (s *screen) here(ctx context.Context, name, rest string) error {
	if s.current.IsZero() {
		return errNoChannel
	}
	id, mine, last := s.current, s.lastMine, s.last
	later := func(of chat.EventID, do func() (client.Ack, error)) error {
		if of.IsZero() {
			return errNoMessage
		}
		s.start(ctx, name, func() (string, error) {
			_, err := do() // its event shows the result
			return "", err
		})
		return nil
	}
	if rest == "" && (name == "/edit" || name == "/react" || name == "/unreact") {
		return errNoText
	}
	switch name {
	case "/edit":
		return later(mine, func() (client.Ack, error) { return s.c.Edit(ctx, id, mine, rest) })
	case "/delete":
		return later(mine, func() (client.Ack, error) { return s.c.Delete(ctx, id, mine) })
	case "/react", "/unreact":
		return later(last, func() (client.Ack, error) { return s.c.React(ctx, id, last, rest, name == "/unreact") })
	case "/history":
		s.history(ctx, id, 0)
		return nil
	case "/leave":
		s.at(chat.ChannelID{})
		return s.c.API().LeaveChannel(ctx, id)
	case "/who":
		s.start(ctx, name, func() (string, error) { // the answer, too, arrives over the WebSocket
			online, err := s.c.WhoIsOnline(ctx, id)
			return fmt.Sprintf("%d online", len(online)), err
		})
		return nil
	}
	return errors.New("no such command: /help")
}

// direct sends a message to the named user. Without a message, it switches to the direct channel
// with that user.
func (s *screen) direct(ctx context.Context, rest string) error {
	name, text, _ := strings.Cut(rest, " ")
	name, text = strings.TrimPrefix(name, "@"), strings.TrimSpace(text)
	if name == "" {
		return errNoText
	}
	users, err := s.c.API().FindUsers(ctx, name)
	if err != nil {
		return err
	}
	for _, u := range users {
		if !strings.EqualFold(u.Username, name) {
			continue
		}
		if text != "" {
			s.post(client.ToUser(u.ID), text)
			return nil
		}
		ch, err := s.c.API().OpenDirect(ctx, u.ID)
		s.peer(ch)
		return s.switchOrClear(ctx, ch.ID, err)
	}
	return fmt.Errorf("no user %q", name)
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// show prints an event.
func (s *screen) show(ctx context.Context, e client.Event) {
	switch e := e.(type) {
	case client.Connection:
		s.connection(e)
	case client.Joined:
		s.joined(ctx, e)
	case client.Left:
		s.note("no longer in %s", s.name(e.ChannelID))
		delete(s.channels, e.ChannelID)
		if e.ChannelID == s.current {
			s.at(chat.ChannelID{})
		}
	case client.Reset:
		s.note("some messages of %s were missed; these are the newest", s.name(e.ChannelID))
		s.history(ctx, e.ChannelID, 0)
	case client.Status:
		s.status(e)
	case client.Typing:
		if e.ChannelID == s.current && e.UserID != s.c.Me() && s.typing[e.UserID] != e.Typing {
			s.typing[e.UserID] = e.Typing
			if e.Typing {
				s.note("%s is typing", s.who(e.UserID))
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
		s.note("offline, retrying in %s (%v)", apierr.Duration(e.Wait.Round(100*time.Millisecond)), e.Err)
	}
}

// joined handles a Joined event, which reports that the client has started to follow a channel.
func (s *screen) joined(ctx context.Context, e client.Joined) {
	ch := e.Channel
	s.channels[ch.ChannelID] = ch
	if ch.Kind == chat.Direct && s.peers[ch.ChannelID] == "" {
		s.learnPeers(ctx)
	}
	mentions := ""
	if ch.UnreadMentions > 0 {
		mentions = fmt.Sprintf(" (%d mention you)", ch.UnreadMentions)
	}
	s.note("in %s, %d unread%s; %s", s.name(ch.ChannelID), ch.Unread, mentions, ch.ChannelID)
	switch {
	case s.current.IsZero() && !s.chosen:
		s.switchTo(ctx, ch.ChannelID)
	case s.current == ch.ChannelID && ch.LastSeq > s.shown:
		// These messages were sent after the history was read and before the channel was followed.
		s.history(ctx, ch.ChannelID, s.shown)
	}
}

// learnPeers reads the other users of direct channels over REST, because the WebSocket does not
// report them.
func (s *screen) learnPeers(ctx context.Context) {
	mine, err := s.c.API().MyChannels(ctx)
	if err != nil {
		s.note("cannot read the names of direct channels: %v", describe(err))
	}
	for _, ch := range mine {
		s.peer(ch)
	}
}

func (s *screen) peer(ch client.Channel) {
	if ch.Peer != nil {
		s.peers[ch.ID], s.names[ch.Peer.UserID] = ch.Peer.Username, ch.Peer.Username
	}
}

// addChannel adds a channel returned by the REST API. The WebSocket may report it later, in more
// detail.
func (s *screen) addChannel(ch client.Channel) {
	s.peer(ch)
	if _, known := s.channels[ch.ID]; !known {
		s.channels[ch.ID] = frame.ChannelSummary{ChannelID: ch.ID, Name: ch.Name, Kind: ch.Kind}
	}
}

// status prints the progress of a message. ✓ means that the message is in the log; ✓✓ means that
// it has been delivered.
func (s *screen) status(e client.Status) {
	if e.Kind != event.Message { // the command that sent an edit, deletion or reaction reports it
		return
	}
	switch e.State {
	case client.Sent:
		s.settle(e.ClientID)
		s.note("✓ %d", e.Seq)
	case client.Delivered:
		s.note("✓✓ %d", e.Seq)
	case client.Read:
		s.note("✓✓ %d read", e.Seq)
	case client.Failed:
		s.refuse(s.settle(e.ClientID), e.Err)
	}
}

// event prints a channel event and marks it as delivered or read.
func (s *screen) event(e client.ChannelEvent) {
	here := e.ChannelID == s.current
	if here && e.Type == event.Message && e.Seq <= s.shown { // already shown with the history
		s.c.Read(e.ChannelID, e.Seq)
		return
	}
	if here {
		s.shown = max(s.shown, e.Seq)
	}
	switch e.Type {
	case event.Message:
		s.names[e.SenderID] = e.SenderName
		s.typing[e.SenderID] = false
		s.snippets.add(e.ID, e.Body)
		s.line(e.ChannelID, e.SentAt, e.SenderName, e.Body, s.called(e.ChannelID, e.SenderID, e.Mentions))
		if here {
			s.remember(e.ID, e.Mine)
		}
	case event.Edit:
		s.snippets.add(*e.MessageID, e.Body)
		s.line(e.ChannelID, e.SentAt, s.who(e.SenderID), e.Body, "edited", s.called(e.ChannelID, e.SenderID, e.Mentions))
	case event.Delete:
		s.line(e.ChannelID, e.SentAt, s.who(e.SenderID), "", "deleted a message")
		s.forget(*e.MessageID)
	case event.Reaction:
		does := "reacts with " + e.Emoji + " to"
		if e.Remove {
			does = "takes back " + e.Emoji + " from"
		}
		s.note("%s: %s %s %s", s.name(e.ChannelID), s.who(e.SenderID), does, s.snippets.of(*e.MessageID))
	case event.MemberJoined, event.MemberLeft:
		if e.UserID != nil {
			s.names[*e.UserID] = e.Username
		}
		s.note("%s: %s %s", s.name(e.ChannelID), e.Username, map[event.Kind]string{event.MemberJoined: "joined", event.MemberLeft: "left"}[e.Type])
	}
	if here {
		s.c.Read(e.ChannelID, e.Seq)
	} else {
		s.c.Delivered(e.ChannelID, e.Seq)
	}
}

// called returns the text to print after a message in which another user mentions this user or
// everyone. For any other message, it returns "". @channel is encoded as a mention of the channel's
// own id.
func (s *screen) called(channel chat.ChannelID, sender chat.UserID, mentions []chat.UserID) string {
	me, everyone := s.c.Me(), chat.UserID{UUID: channel.UUID}
	if sender != me && (slices.Contains(mentions, me) || slices.Contains(mentions, everyone)) {
		return "names you"
	}
	return ""
}

func (s *screen) remember(id chat.EventID, mine bool) {
	s.last = id
	if mine {
		s.lastMine = id
	}
}

// forget removes a deleted message from the screen's records, so that no command applies to it.
func (s *screen) forget(id chat.EventID) {
	if s.last == id {
		s.last = chat.EventID{}
	}
	if s.lastMine == id {
		s.lastMine = chat.EventID{}
	}
}

// at sets the channel to which input is sent; a zero id selects none. It also clears the most
// recent messages, so that /edit and /delete never apply to a message in another channel.
func (s *screen) at(id chat.ChannelID) {
	s.current, s.shown, s.chosen, s.last, s.lastMine = id, 0, true, chat.EventID{}, chat.EventID{}
}

// switchTo switches to a channel and shows its newest messages.
func (s *screen) switchTo(ctx context.Context, id chat.ChannelID) {
	s.at(id)
	s.note("talking in %s", s.name(id))
	s.history(ctx, id, 0)
}

// history reads the channel's newest messages and prints those whose seq is greater than after.
func (s *screen) history(ctx context.Context, id chat.ChannelID, after int64) {
	messages, err := s.c.API().Newest(ctx, id, historyLines)
	if err != nil {
		s.note("cannot read the history: %v", describe(err))
		return
	}
	for _, m := range messages {
		if m.Seq <= after {
			continue
		}
		if id == s.current {
			s.shown = max(s.shown, m.Seq)
		}
		s.names[m.SenderID] = m.SenderName
		s.snippets.add(m.ID, m.Body)
		marks := []string{"deleted"}
		if m.DeletedAt.IsZero() {
			marks = []string{"", s.called(id, m.SenderID, m.Mentions)}
			if !m.EditedAt.IsZero() {
				marks[0] = "edited"
			}
			for _, r := range m.Reactions {
				marks = append(marks, fmt.Sprintf("%s %d", r.Emoji, r.Count))
			}
		}
		s.line(id, m.SentAt, m.SenderName, m.Body, marks...)
		if id == s.current && m.DeletedAt.IsZero() {
			s.remember(m.ID, m.SenderID == s.c.Me())
		}
	}
	if n := len(messages); n > 0 && id == s.current {
		s.c.Read(id, messages[n-1].Seq)
	}
}

// line prints a message followed by its marks, such as "edited" or a reaction count. It ignores
// empty marks.
func (s *screen) line(id chat.ChannelID, at chat.Time, who, body string, marks ...string) {
	mark := strings.Join(slices.DeleteFunc(marks, func(m string) bool { return m == "" }), ", ")
	if mark != "" {
		mark = " (" + mark + ")"
	}
	fmt.Fprintf(s.out, "[%s] %s %s: %s%s\n", s.name(id), at.Local().Format("15:04"), cmp.Or(who, "somebody"), body, mark)
}

func (s *screen) note(format string, args ...any) { fmt.Fprintf(s.out, "  · "+format+"\n", args...) }

func (s *screen) who(id chat.UserID) string { return cmp.Or(s.names[id], "somebody") }

// name returns the name to display for a channel. A direct channel has the name of its other user.
func (s *screen) name(id chat.ChannelID) string {
	ch := s.channels[id]
	switch {
	case ch.Name != "":
		return ch.Name
	case s.peers[id] != "":
		return "@" + s.peers[id]
	case ch.Kind == chat.Direct:
		return "direct " + id.String()[:8]
	}
	return id.String()[:8]
}

// snippets holds the beginnings of the newest messages. The screen prints them to identify the
// message that a reaction refers to.
type snippets struct {
	text map[chat.EventID]string
	ids  []chat.EventID // oldest first
}

func (sn *snippets) add(id chat.EventID, body string) {
	const most, runes = 1000, 30
	if sn.text == nil {
		sn.text = make(map[chat.EventID]string)
	}
	if _, known := sn.text[id]; !known {
		sn.ids = append(sn.ids, id)
	}
	line, _, cut := strings.Cut(body, "\n")
	if r := []rune(line); len(r) > runes {
		line, cut = string(r[:runes]), true
	}
	if cut {
		line += "…"
	}
	sn.text[id] = line
	if len(sn.ids) > most {
		delete(sn.text, sn.ids[0])
		sn.ids = sn.ids[1:]
	}
}

func (sn *snippets) of(id chat.EventID) string {
	if text := sn.text[id]; text != "" {
		return fmt.Sprintf("“%s”", text)
	}
	return "an older message"
}

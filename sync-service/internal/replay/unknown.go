package replay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/sync-service/internal/store"
)

// UnknownUser is a user who occurs in events but not in the database, because the account was
// created after the backup.
type UnknownUser struct {
	ID   chat.UserID `json:"id"`
	Name string      `json:"name"` // the username in the newest event that contains one, or ""
	span
}

// UnknownChannel is a channel that occurs in events but not in the database.
type UnknownChannel struct {
	ID chat.ChannelID `json:"id"`
	// Members is the sorted list of the usernames of users who have joined the channel or written
	// to it.
	Members []string `json:"members"`
	span
}

// span holds the number of a user's or channel's events, and the times of the first and the last of
// these events.
type span struct {
	Events int64     `json:"events"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

func (s *span) add(at time.Time) {
	s.Events++
	if s.First.IsZero() || at.Before(s.First) {
		s.First = at
	}
	if at.After(s.Last) {
		s.Last = at
	}
}

// references collects the users and channels of the replayed events.
type references struct {
	users    map[chat.UserID]*UnknownUser
	channels map[chat.ChannelID]*channelUsers
}

type channelUsers struct {
	span
	users map[chat.UserID]struct{}
}

func newReferences() *references {
	return &references{users: map[chat.UserID]*UnknownUser{}, channels: map[chat.ChannelID]*channelUsers{}}
}

// add records the users and the channel of a row.
func (n *references) add(row *store.Row) {
	var names struct {
		Sender string `json:"sender_name"`
		User   string `json:"username"`
	}
	if len(row.Data) > 0 {
		_ = json.Unmarshal(row.Data, &names) // without names, only the ids are reported
	}
	c := n.channels[row.Channel]
	if c == nil {
		c = &channelUsers{users: map[chat.UserID]struct{}{}}
		n.channels[row.Channel] = c
	}
	c.add(row.SentAt)
	member := row.Target.Valid && (row.Kind == event.MemberJoined || row.Kind == event.MemberLeft)
	if member {
		n.user(chat.UserID{UUID: row.Target.UUID}, names.User, row.SentAt)
		c.users[chat.UserID{UUID: row.Target.UUID}] = struct{}{}
	}
	if !row.Sender.IsZero() && (!member || row.Target.UUID != row.Sender.UUID) {
		n.user(row.Sender, names.Sender, row.SentAt)
		c.users[row.Sender] = struct{}{}
	}
}

func (n *references) user(id chat.UserID, name string, at time.Time) {
	u := n.users[id]
	if u == nil {
		u = &UnknownUser{ID: id}
		n.users[id] = u
	}
	if name != "" && !at.Before(u.Last) {
		u.Name = name
	}
	u.add(at)
}

// unknown returns the referenced users and channels that are not in the database. It sorts the
// users by name and the channels by id.
func (n *references) unknown(ctx context.Context, s Store) ([]UnknownUser, []UnknownChannel, error) {
	users, channels := make([]chat.UserID, 0, len(n.users)), make([]chat.ChannelID, 0, len(n.channels))
	for u := range n.users {
		users = append(users, u)
	}
	for c := range n.channels {
		channels = append(channels, c)
	}
	users, channels, err := s.Unknown(ctx, users, channels)
	if err != nil {
		return nil, nil, errors.Join(errors.New("could not list the users and channels that are not in the database; everything else is done"), err)
	}
	missing, rooms := make([]UnknownUser, len(users)), make([]UnknownChannel, len(channels))
	for i, id := range users {
		missing[i] = *n.users[id]
	}
	for i, id := range channels {
		note := n.channels[id]
		rooms[i] = UnknownChannel{ID: id, Members: []string{}, span: note.span}
		for u := range note.users {
			if name := n.users[u].Name; name != "" {
				rooms[i].Members = append(rooms[i].Members, name)
			}
		}
		slices.Sort(rooms[i].Members)
	}
	slices.SortFunc(missing, func(a, b UnknownUser) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID.String(), b.ID.String()))
	})
	slices.SortFunc(rooms, func(a, b UnknownChannel) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	return missing, rooms, nil
}

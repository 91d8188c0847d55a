package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// Message holds the properties of a stored message that determine whether a member may change it.
type Message struct {
	Seq      int64       `bun:"seq"`
	Kind     event.Kind  `bun:"kind"`
	SenderID chat.UserID `bun:"sender_id"`
	SentAt   time.Time   `bun:"sent_at"`
}

// Message returns a stored message in a channel. The error is NotFound if the channel has no event
// with that id, or if the event is not a message.
func (s *Store) Message(ctx context.Context, channel chat.ChannelID, id chat.EventID) (Message, error) {
	var m Message
	err := s.db.NewRaw(`select seq, kind, sender_id, sent_at from messages where channel_id = ? and id = ?`, channel, id).Scan(ctx, &m)
	switch {
	case errors.Is(err, sql.ErrNoRows) || err == nil && m.Kind != event.Message:
		return Message{}, apierr.New(apierr.NotFound, "This message does not exist in this channel.")
	case err != nil:
		return Message{}, unavailable(err, "read message %s of channel %s", id, channel)
	}
	return m, nil
}

// Deleted reports whether a deletion of the message is stored. sync-service records the deletion in
// the transaction that stores the deletion event.
func (s *Store) Deleted(ctx context.Context, channel chat.ChannelID, id chat.EventID) (bool, error) {
	var deleted bool
	err := s.db.NewRaw(`select exists (select 1 from message_states
		where channel_id = ? and message_id = ? and delete_seq is not null)`, channel, id).Scan(ctx, &deleted)
	if err != nil {
		return false, unavailable(err, "read deletion of message %s of channel %s", id, channel)
	}
	return deleted, nil
}

// Reaction is an emoji that users have put on a message.
type Reaction struct {
	Emoji  string `bun:"emoji"`
	Active bool   `bun:"active"` // at least one user currently has it on the message
	Own    bool   `bun:"own"`    // the given user has put it there, and may have removed it since
}

// Reactions returns the distinct emojis stored for a message.
func (s *Store) Reactions(ctx context.Context, channel chat.ChannelID, message chat.EventID, user chat.UserID) ([]Reaction, error) {
	var list []Reaction
	err := s.db.NewRaw(`select emoji, bool_or(not removed) as active, bool_or(user_id = ?) as own from message_reactions
		where channel_id = ? and message_id = ? group by emoji`, user, channel, message).Scan(ctx, &list)
	if err != nil {
		return nil, unavailable(err, "read reactions to message %s of channel %s", message, channel)
	}
	return list, nil
}

// Package chat is the vocabulary of the domain: ids, kinds of channel, roles, and the rules for what
// people may type. It holds data and rules and does no I/O.
package chat

import (
	"crypto/md5" // for an id, not for security
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/google/uuid"
)

// An id is a UUID of its own type, so that a user's cannot be passed for a channel's. Embedding gives
// each the text, JSON and SQL forms of a UUID. Text is in lower case.
type (
	// UserID is a UUIDv7.
	UserID struct{ uuid.UUID }
	// SessionID names a login, which is also a family of refresh tokens.
	SessionID struct{ uuid.UUID }
	// ChannelID is a random UUIDv4: to know that of an unlisted channel is to be invited.
	ChannelID struct{ uuid.UUID }
	// GroupID is a random UUIDv4.
	GroupID struct{ uuid.UUID }
	// EventID is a UUIDv7, made before the event has a seq.
	EventID struct{ uuid.UUID }
	// InvitationID is a UUIDv7.
	InvitationID struct{ uuid.UUID }
	// ClientID is the idempotency key that a sender gives an event. Zero means none.
	ClientID struct{ uuid.UUID }
)

// NewUserID returns a fresh id.
func NewUserID() UserID { return UserID{uuid.Must(uuid.NewV7())} }

// NewSessionID returns a fresh id.
func NewSessionID() SessionID { return SessionID{uuid.New()} }

// NewChannelID returns a fresh id.
func NewChannelID() ChannelID { return ChannelID{uuid.New()} }

// NewGroupID returns a fresh id.
func NewGroupID() GroupID { return GroupID{uuid.New()} }

// NewEventID returns a fresh id.
func NewEventID() EventID { return EventID{uuid.Must(uuid.NewV7())} }

// NewInvitationID returns a fresh id.
func NewInvitationID() InvitationID { return InvitationID{uuid.Must(uuid.NewV7())} }

// NewClientID returns a fresh id.
func NewClientID() ClientID { return ClientID{uuid.New()} }

// TombstoneID returns the id of a tombstone that stands for no event that is known. It is made of the seq's place, so
// that whoever makes the tombstone makes the same one.
func TombstoneID(channel ChannelID, seq int64) EventID {
	b := append(make([]byte, 0, 36), channel.UUID[:]...)
	id := uuid.UUID(md5.Sum(strconv.AppendInt(b, seq, 10)))
	id[6] = id[6]&0x0f | 0x80 // version 8: of our own making
	id[8] = id[8]&0x3f | 0x80
	return EventID{id}
}

// ParseUserID reads the 36-character form of a UUID.
func ParseUserID(s string) (UserID, error) { u, err := parse(s); return UserID{u}, err }

// ParseSessionID reads the 36-character form of a UUID.
func ParseSessionID(s string) (SessionID, error) { u, err := parse(s); return SessionID{u}, err }

// ParseChannelID reads the 36-character form of a UUID.
func ParseChannelID(s string) (ChannelID, error) { u, err := parse(s); return ChannelID{u}, err }

// ParseGroupID reads the 36-character form of a UUID.
func ParseGroupID(s string) (GroupID, error) { u, err := parse(s); return GroupID{u}, err }

// ParseEventID reads the 36-character form of a UUID.
func ParseEventID(s string) (EventID, error) { u, err := parse(s); return EventID{u}, err }

// ParseClientID reads the 36-character form of a UUID.
func ParseClientID(s string) (ClientID, error) { u, err := parse(s); return ClientID{u}, err }

// IsZero reports whether the id was never set.
func (id ClientID) IsZero() bool { return id.UUID == uuid.Nil }

// IsZero reports whether the id was never set.
func (id UserID) IsZero() bool { return id.UUID == uuid.Nil }

// IsZero reports whether the id was never set.
func (id ChannelID) IsZero() bool { return id.UUID == uuid.Nil }

// IsZero reports whether the id was never set.
func (id GroupID) IsZero() bool { return id.UUID == uuid.Nil }

// IsZero reports whether the id was never set.
func (id EventID) IsZero() bool { return id.UUID == uuid.Nil }

// IsZero reports whether the id was never set.
func (id SessionID) IsZero() bool { return id.UUID == uuid.Nil }

// parse takes the canonical form alone: uuid.Parse also takes URNs and braces.
func parse(s string) (uuid.UUID, error) {
	if len(s) != 36 {
		return uuid.Nil, fmt.Errorf("a UUID has 36 characters, this has %d", len(s))
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return uuid.Nil, fmt.Errorf("not a UUID: %w", err)
	}
	return u, nil
}

// AppendUUID appends the text of a UUID, 36 characters in lower case.
func AppendUUID(b []byte, u uuid.UUID) []byte {
	b = hex.AppendEncode(b, u[0:4])
	b = hex.AppendEncode(append(b, '-'), u[4:6])
	b = hex.AppendEncode(append(b, '-'), u[6:8])
	b = hex.AppendEncode(append(b, '-'), u[8:10])
	return hex.AppendEncode(append(b, '-'), u[10:16])
}

// Package chat defines the domain types: ids, channel kinds, roles, times, and rules for text that
// people type. It does no I/O.
package chat

import (
	"crypto/md5" // to derive an id, not for security
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Each kind of id is a UUID with its own type, so that a user id cannot be passed as a channel id.
// Embedding gives each type the text, JSON and SQL encodings of a UUID. The text is in lower case.
type (
	// UserID is a UUIDv7.
	UserID struct{ uuid.UUID }
	// SessionID identifies a session and its family of refresh tokens.
	SessionID struct{ uuid.UUID }
	// ChannelID is a random UUIDv4. It must not be guessable, because a user who knows an unlisted
	// channel's id may join the channel.
	ChannelID struct{ uuid.UUID }
	// GroupID is a random UUIDv4.
	GroupID struct{ uuid.UUID }
	// EventID is a UUIDv7, generated before the event gets a seq.
	EventID struct{ uuid.UUID }
	// InvitationID is a UUIDv7.
	InvitationID struct{ uuid.UUID }
	// ClientID is the idempotency key that a sender chooses for an event. Zero means none.
	ClientID struct{ uuid.UUID }
)

// NewUserID returns a new id.
func NewUserID() UserID { return UserID{uuid.Must(uuid.NewV7())} }

// NewSessionID returns a new id.
func NewSessionID() SessionID { return SessionID{uuid.New()} }

// NewChannelID returns a new id.
func NewChannelID() ChannelID { return ChannelID{uuid.New()} }

// NewGroupID returns a new id.
func NewGroupID() GroupID { return GroupID{uuid.New()} }

// NewEventID returns a new id.
func NewEventID() EventID { return EventID{uuid.Must(uuid.NewV7())} }

// NewInvitationID returns a new id.
func NewInvitationID() InvitationID { return InvitationID{uuid.Must(uuid.NewV7())} }

// NewClientID returns a new id.
func NewClientID() ClientID { return ClientID{uuid.New()} }

// TombstoneID returns the id for a tombstone whose event is unknown. The id is derived from the
// channel and the seq, so every process uses the same id.
func TombstoneID(channel ChannelID, seq int64) EventID {
	b := append(make([]byte, 0, 36), channel.UUID[:]...)
	id := uuid.UUID(md5.Sum(strconv.AppendInt(b, seq, 10)))
	id[6] = id[6]&0x0f | 0x80 // version 8: custom format
	id[8] = id[8]&0x3f | 0x80
	return EventID{id}
}

// CreatedAt returns the time at which the id was created. It returns the zero time if the id is not
// a UUIDv7, for example if it is a TombstoneID. The first 48 bits are the time in milliseconds. The
// 12 bits after the version are a fraction in units of 256 ns, as written by the UUID package (RFC
// 9562, section 6.2, method 3).
func (id EventID) CreatedAt() time.Time {
	if id.Version() != 7 {
		return time.Time{}
	}
	ms := int64(binary.BigEndian.Uint64(id.UUID[:]) >> 16)
	part := int64(binary.BigEndian.Uint16(id.UUID[6:]) & 0xfff)
	return time.UnixMilli(ms).Add(time.Duration(part<<8) * time.Nanosecond)
}

// ParseUserID parses the 36-character form of a UUID.
func ParseUserID(s string) (UserID, error) { u, err := parse(s); return UserID{u}, err }

// ParseSessionID parses the 36-character form of a UUID.
func ParseSessionID(s string) (SessionID, error) { u, err := parse(s); return SessionID{u}, err }

// ParseChannelID parses the 36-character form of a UUID.
func ParseChannelID(s string) (ChannelID, error) { u, err := parse(s); return ChannelID{u}, err }

// ParseGroupID parses the 36-character form of a UUID.
func ParseGroupID(s string) (GroupID, error) { u, err := parse(s); return GroupID{u}, err }

// ParseEventID parses the 36-character form of a UUID.
func ParseEventID(s string) (EventID, error) { u, err := parse(s); return EventID{u}, err }

// ParseClientID parses the 36-character form of a UUID.
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

// MemberKey identifies a user in a channel. The user need not be a member.
type MemberKey struct {
	Channel ChannelID
	User    UserID
}

// parse parses only the canonical form of a UUID, whereas uuid.Parse also accepts URNs and braces.
func parse(s string) (uuid.UUID, error) {
	if len(s) != 36 {
		return uuid.Nil, fmt.Errorf("not a UUID: %d characters instead of 36", len(s))
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return uuid.Nil, fmt.Errorf("not a UUID: %w", err)
	}
	return u, nil
}

// AppendUUID appends the text form of a UUID: 36 characters in lower case.
func AppendUUID(b []byte, u uuid.UUID) []byte {
	b = hex.AppendEncode(b, u[0:4])
	b = hex.AppendEncode(append(b, '-'), u[4:6])
	b = hex.AppendEncode(append(b, '-'), u[6:8])
	b = hex.AppendEncode(append(b, '-'), u[8:10])
	return hex.AppendEncode(append(b, '-'), u[10:16])
}

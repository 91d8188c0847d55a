// Package event defines the encodings of a channel's events in Redis. A gateway appends an event as
// a stream entry, which sync-service stores. Redis publishes the event as an item and keeps the
// item in the channel's tail.
//
// An entry's payload is the frame that subscribers receive (package frame). The stream, the tail
// and the WebSocket all use this encoding.
package event

import (
	"errors"
	"fmt"
	"strconv"

	"parley.chat/shared-contracts/chat"
)

// Version is the version of the entries and items that this code writes. This code cannot decode
// newer versions.
const Version = 1

// Kind is the kind of an event.
type Kind string

// The kinds of events that have a seq.
const (
	Message        Kind = "message"
	Edit           Kind = "edit"
	Delete         Kind = "delete"
	Reaction       Kind = "reaction"
	MemberJoined   Kind = "member_joined"
	MemberLeft     Kind = "member_left"
	ChannelUpdated Kind = "channel_updated"

	// Gap is appended when a channel is repaired after Redis has lost writes. It names a range of
	// seqs whose events may be lost.
	Gap Kind = "gap"
)

// The kinds of tombstones. A tombstone is a row for a seq that holds no event.
const (
	Failed Kind = "failed" // dead-lettered
	Lost   Kind = "lost"   // lost by Redis before it was stored
	Noop   Kind = "noop"   // the event has another seq
)

// Known reports whether this release can store entries of kind k.
func (k Kind) Known() bool {
	switch k {
	case Message, Edit, Delete, Reaction, MemberJoined, MemberLeft, ChannelUpdated, Gap:
		return true
	}
	return false
}

// FromMember reports whether events of kind k are sent by members. The append script refuses these
// events if Redis contains a removal mark for the sender, which means that the sender has left.
func (k Kind) FromMember() bool {
	return k == Message || k == Edit || k == Delete || k == Reaction
}

// Entry is one entry in a partition's stream.
type Entry struct {
	Version  int
	Channel  chat.ChannelID
	Seq      int64 // 1, 2, 3, … within the channel
	Epoch    Epoch
	Kind     Kind
	ID       chat.EventID
	Sender   chat.UserID
	ClientID chat.ClientID
	Payload  []byte // the frame
}

// The field names of an entry.
const (
	fieldVersion  = "v"
	fieldChannel  = "channel_id"
	fieldSeq      = "seq"
	fieldEpoch    = "epoch"
	fieldKind     = "kind"
	fieldID       = "id"
	fieldSender   = "sender_id"
	fieldClientID = "client_id"
	fieldPayload  = "payload"
)

// ErrNewer is returned for an entry or item that was written by a newer release. It is not corrupt,
// but this release cannot decode it.
var ErrNewer = errors.New("written by a newer version")

// Fields returns the entry's fields for XADD. The append script writes the same fields in the same
// order.
func (e Entry) Fields() []any {
	return []any{
		fieldVersion, e.Version,
		fieldChannel, e.Channel.String(),
		fieldSeq, e.Seq,
		fieldEpoch, string(e.Epoch),
		fieldKind, string(e.Kind),
		fieldID, e.ID.String(),
		fieldSender, e.Sender.String(),
		fieldClientID, e.ClientID.String(),
		fieldPayload, e.Payload,
	}
}

// DecodeEntry decodes the fields of a stream entry. Errors name the invalid field. If there is an
// error, the returned entry contains the fields that could be decoded, so that a dead letter can
// identify its event.
func DecodeEntry(fields map[string]any) (Entry, error) {
	return decode(func(name string) (string, bool) {
		s, ok := fields[name].(string)
		return s, ok
	})
}

// DecodePairs is like DecodeEntry but takes alternating names and values, as Redis sends them. If a
// name occurs more than once, the last value is used.
func DecodePairs(pairs []string) (Entry, error) {
	return decode(func(name string) (string, bool) {
		for i := len(pairs)&^1 - 2; i >= 0; i -= 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	})
}

func decode(field func(name string) (string, bool)) (Entry, error) {
	var e Entry
	var errs []error
	text := func(name string) string {
		s, ok := field(name)
		if !ok {
			errs = append(errs, fmt.Errorf("%s is missing", name))
		}
		return s
	}
	check := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	var err error
	e.Version, err = strconv.Atoi(text(fieldVersion))
	check(fieldVersion, err)
	if err == nil && e.Version > Version {
		errs = append(errs, fmt.Errorf("entry version %d, the newest known version is %d: %w", e.Version, Version, ErrNewer))
	} else if err == nil && e.Version < 1 {
		errs = append(errs, fmt.Errorf("%s: %d is not a version", fieldVersion, e.Version))
	}
	e.Channel, err = chat.ParseChannelID(text(fieldChannel))
	check(fieldChannel, err)
	e.Seq, err = strconv.ParseInt(text(fieldSeq), 10, 64)
	check(fieldSeq, err)
	if err == nil && e.Seq < 1 {
		errs = append(errs, fmt.Errorf("%s: %d is below 1", fieldSeq, e.Seq))
	}
	e.Epoch, err = ParseEpoch(text(fieldEpoch))
	check(fieldEpoch, err)
	e.Kind = Kind(text(fieldKind))
	if e.Version == Version && !e.Kind.Known() {
		errs = append(errs, fmt.Errorf("%s: %q is unknown", fieldKind, e.Kind))
	}
	e.ID, err = chat.ParseEventID(text(fieldID))
	check(fieldID, err)
	e.Sender, err = chat.ParseUserID(text(fieldSender))
	check(fieldSender, err)
	e.ClientID, err = chat.ParseClientID(text(fieldClientID))
	check(fieldClientID, err)
	e.Payload = []byte(text(fieldPayload))
	return e, errors.Join(errs...)
}

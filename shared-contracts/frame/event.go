package frame

import (
	"bytes"
	"encoding/json"
	"fmt"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// Event is the frame of an event with a seq, as subscribers receive it. Each kind of event uses
// only some of the fields; see docs/websocket.md.
type Event struct {
	Type      event.Kind      `json:"type"`
	ChannelID chat.ChannelID  `json:"channel_id"`
	Seq       int64           `json:"seq"`
	ID        chat.EventID    `json:"id"`
	ClientID  *chat.ClientID  `json:"client_id,omitempty"`
	MessageID *chat.EventID   `json:"message_id,omitempty"` // edit, delete, reaction: the target message
	SenderID  chat.UserID     `json:"sender_id"`
	UserID    *chat.UserID    `json:"user_id,omitempty"` // member_joined, member_left: the member
	Username  string          `json:"username,omitempty"`
	Channel   json.RawMessage `json:"channel,omitempty"` // channel_updated: the new state of the channel

	SenderName string        `json:"sender_name,omitempty"`
	Body       string        `json:"body,omitempty"`
	Mentions   []chat.UserID `json:"mentions,omitempty"`
	ReplyTo    *chat.EventID `json:"reply_to,omitempty"`
	Emoji      string        `json:"emoji,omitempty"`
	Remove     bool          `json:"remove,omitempty"`
	RemovedBy  *chat.UserID  `json:"removed_by,omitempty"` // reaction: the moderator who removed the sender's reaction
	From       int64         `json:"from,omitempty"`       // gap: the first and the last seq that may be lost
	To         int64         `json:"to,omitempty"`
	SentAt     chat.Time     `json:"sent_at"`
}

// The fields that follow type, channel_id and seq in each kind of event, in wire order.
type (
	editFields struct {
		ID        chat.EventID   `json:"id"`
		ClientID  *chat.ClientID `json:"client_id,omitempty"`
		MessageID *chat.EventID  `json:"message_id"`
		SenderID  chat.UserID    `json:"sender_id"`
		Body      string         `json:"body"`
		Mentions  []chat.UserID  `json:"mentions,omitempty"`
		SentAt    chat.Time      `json:"sent_at"`
	}
	deleteFields struct {
		ID        chat.EventID   `json:"id"`
		ClientID  *chat.ClientID `json:"client_id,omitempty"`
		MessageID *chat.EventID  `json:"message_id"`
		SenderID  chat.UserID    `json:"sender_id"`
		SentAt    chat.Time      `json:"sent_at"`
	}
	reactionFields struct {
		ID        chat.EventID   `json:"id"`
		ClientID  *chat.ClientID `json:"client_id,omitempty"`
		MessageID *chat.EventID  `json:"message_id"`
		SenderID  chat.UserID    `json:"sender_id"`
		Emoji     string         `json:"emoji"`
		Remove    bool           `json:"remove"`
		RemovedBy *chat.UserID   `json:"removed_by,omitempty"`
		SentAt    chat.Time      `json:"sent_at"`
	}
	memberFields struct {
		ID       chat.EventID `json:"id"`
		SenderID chat.UserID  `json:"sender_id"` // the member, or the user who made the change
		UserID   *chat.UserID `json:"user_id"`
		Username string       `json:"username"`
		SentAt   chat.Time    `json:"sent_at"`
	}
	channelFields struct {
		ID       chat.EventID    `json:"id"`
		SenderID chat.UserID     `json:"sender_id"`
		Channel  json.RawMessage `json:"channel"`
		SentAt   chat.Time       `json:"sent_at"`
	}
	gapFields struct {
		ID     chat.EventID `json:"id"`
		From   int64        `json:"from"`
		To     int64        `json:"to"`
		SentAt chat.Time    `json:"sent_at"`
	}
	tombstoneFields struct {
		ID     chat.EventID `json:"id"`
		SentAt chat.Time    `json:"sent_at"`
	}
)

// EncodeAround returns the frame of e in two parts: the bytes before and after the decimal digits
// of its seq. The append script inserts the digits, because only the script knows the seq.
func (e *Event) EncodeAround() (before, after []byte, err error) {
	before = e.AppendBefore(make([]byte, 0, 96))
	after, err = e.AppendAfter(make([]byte, 0, 512+len(e.Body)))
	return before, after, err
}

// encodeAfter returns the part of the frame after the seq. It does not support messages.
func (e *Event) encodeAfter() ([]byte, error) {
	var fields any
	switch e.Type {
	case event.Edit:
		fields = editFields{e.ID, e.ClientID, e.MessageID, e.SenderID, e.Body, e.Mentions, e.SentAt}
	case event.Delete:
		fields = deleteFields{e.ID, e.ClientID, e.MessageID, e.SenderID, e.SentAt}
	case event.Reaction:
		fields = reactionFields{e.ID, e.ClientID, e.MessageID, e.SenderID, e.Emoji, e.Remove, e.RemovedBy, e.SentAt}
	case event.MemberJoined, event.MemberLeft:
		fields = memberFields{e.ID, e.SenderID, e.UserID, e.Username, e.SentAt}
	case event.ChannelUpdated:
		fields = channelFields{e.ID, e.SenderID, e.Channel, e.SentAt}
	case event.Gap:
		fields = gapFields{e.ID, e.From, e.To, e.SentAt}
	case event.Failed, event.Lost, event.Noop:
		fields = tombstoneFields{e.ID, e.SentAt}
	default:
		return nil, fmt.Errorf("encode event: unknown kind %q", e.Type)
	}
	b, err := encode(fields)
	if err != nil {
		return nil, fmt.Errorf("encode %s event: %w", e.Type, err)
	}
	b[0] = ',' // replaces the opening brace
	return b, nil
}

// GapParts returns the frame of a gap event in four parts. The repair script inserts the values of
// seq, from and to between the parts, because only the script knows them.
func GapParts(channel chat.ChannelID, id chat.EventID, at chat.Time) [4][]byte {
	return [4][]byte{
		[]byte(`{"type":"` + string(event.Gap) + `","channel_id":"` + channel.String() + `","seq":`),
		[]byte(`,"id":"` + id.String() + `","from":`),
		[]byte(`,"to":`),
		[]byte(`,"sent_at":"` + at.String() + `"}`),
	}
}

// Encode returns the frame of e.
func (e *Event) Encode() ([]byte, error) {
	before, after, err := e.EncodeAround()
	if err != nil {
		return nil, err
	}
	return Join(before, e.Seq, after), nil
}

// DecodeEvent decodes the frame of an event.
func DecodeEvent(b []byte) (Event, error) {
	if e, ok := scanMessage(b); ok {
		return e, nil
	}
	var e Event
	if err := json.Unmarshal(b, &e); err != nil {
		return Event{}, fmt.Errorf("decode event: %w", err)
	}
	return e, nil
}

// encode returns v as JSON without HTML escapes and without a trailing newline.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), nil
}

// Package eventrow converts between an event and its row in the messages table. sync-service writes
// the rows; chat-service and ws-server read them.
package eventrow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// Row is a row of the messages table, with the columns that readers select.
type Row struct {
	bun.BaseModel `bun:"table:messages"`

	ChannelID chat.ChannelID  `bun:"channel_id,pk,type:uuid"`
	Seq       int64           `bun:"seq,pk"`
	ID        chat.EventID    `bun:"id,type:uuid"`
	Kind      event.Kind      `bun:"kind"`
	SenderID  chat.UserID     `bun:"sender_id,type:uuid"`
	ClientID  uuid.NullUUID   `bun:"client_id,type:uuid"`
	Target    uuid.NullUUID   `bun:"target,type:uuid"`
	Body      string          `bun:"body"`
	Data      json.RawMessage `bun:"data,type:jsonb"`
	SentAt    time.Time       `bun:"sent_at"`
}

// Data is the content of the `data` column: all values that have no column of their own. Empty Data
// is stored as null.
type Data struct {
	SenderName string          `json:"sender_name,omitempty"`
	Username   string          `json:"username,omitempty"`
	Mentions   []chat.UserID   `json:"mentions,omitempty"`
	ReplyTo    *chat.EventID   `json:"reply_to,omitempty"`
	Emoji      string          `json:"emoji,omitempty"`
	Remove     bool            `json:"remove,omitempty"`
	RemovedBy  *chat.UserID    `json:"removed_by,omitempty"`
	Channel    json.RawMessage `json:"channel,omitempty"`
	From       int64           `json:"from,omitempty"`
	To         int64           `json:"to,omitempty"`

	Reason string `json:"reason,omitempty"` // tombstones only
	// Dropped marks a tombstone that no event will replace, because an operator has discarded the
	// failed entry.
	Dropped bool `json:"dropped,omitempty"`
}

// Empty reports whether d has no values to store.
func (d *Data) Empty() bool {
	return d.SenderName == "" && d.Username == "" && len(d.Mentions) == 0 && d.ReplyTo == nil && d.Emoji == "" &&
		!d.Remove && d.RemovedBy == nil && d.Channel == nil && d.From == 0 && d.To == 0 && d.Reason == "" && !d.Dropped
}

// Event returns the event stored in the row. The encoded event is the frame that was sent to
// subscribers.
func (r *Row) Event() (frame.Event, error) {
	d, err := r.data()
	if err != nil {
		return frame.Event{}, fmt.Errorf("row %s/%d: data: %w", r.ChannelID, r.Seq, err)
	}
	e := frame.Event{
		Type: r.Kind, ChannelID: r.ChannelID, Seq: r.Seq, ID: r.ID, SenderID: r.SenderID,
		SenderName: d.SenderName, Username: d.Username, Body: r.Body, Mentions: d.Mentions, ReplyTo: d.ReplyTo,
		Emoji: d.Emoji, Remove: d.Remove, RemovedBy: d.RemovedBy, Channel: d.Channel, From: d.From, To: d.To, SentAt: chat.At(r.SentAt),
	}
	if r.ClientID.Valid {
		e.ClientID = &chat.ClientID{UUID: r.ClientID.UUID}
	}
	if r.Target.Valid {
		switch r.Kind {
		case event.MemberJoined, event.MemberLeft:
			e.UserID = &chat.UserID{UUID: r.Target.UUID}
		default:
			e.MessageID = &chat.EventID{UUID: r.Target.UUID}
		}
	}
	return e, nil
}

// data decodes the `data` column. For most messages, the column contains only the sender's name, in
// PostgreSQL's formatting. That case is decoded without reflection, because reflection would cost
// more than the rest of the row's processing.
func (r *Row) data() (d Data, err error) {
	if len(r.Data) == 0 || string(r.Data) == "null" {
		return d, nil
	}
	if name, ok := bytes.CutPrefix(r.Data, []byte(`{"sender_name": "`)); ok {
		if name, ok = bytes.CutSuffix(name, []byte(`"}`)); ok && plain(name) {
			d.SenderName = string(name)
			return d, nil
		}
	}
	return d, json.Unmarshal(r.Data, &d)
}

// plain reports whether the content of a JSON string can be used without unescaping.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

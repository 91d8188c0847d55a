package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"parley.chat/internal/eventlog/eventrow"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// Row is a row to write to the event log. Package eventrow reads stored rows.
type Row struct {
	Channel  chat.ChannelID
	Seq      int64
	ID       chat.EventID
	Kind     event.Kind
	Sender   chat.UserID
	ClientID uuid.NullUUID
	Target   uuid.NullUUID // the target message of an edit, deletion or reaction, or the member of a member_* event
	Body     string
	Data     []byte // JSON, nil for none
	SentAt   time.Time

	from, to int64         // the range of seqs that a gap covers; Data also contains these fields and the fields below
	mentions []chat.UserID // edit
	emoji    string        // reaction
	remove   bool          // reaction
}

// Tombstone reports whether the row is a tombstone, which reserves a seq but holds no event.
func (r *Row) Tombstone() bool { return tombstone(r.Kind) }

func tombstone(k event.Kind) bool {
	return k == event.Failed || k == event.Lost || k == event.Noop
}

// maxGap is the maximum number of tombstones that one gap entry may create. A larger range
// indicates a corrupt entry, not lost writes.
const maxGap = 1 << 20

// RowOf returns the row of an entry. An error means that the entry can never be stored.
func RowOf(e event.Entry) (Row, error) {
	if !utf8.Valid(e.Payload) { // the JSON decoder would silently replace invalid bytes with U+FFFD
		return Row{}, errors.New("payload is not valid UTF-8")
	}
	f, err := frame.DecodeEvent(e.Payload)
	if err != nil {
		return Row{}, fmt.Errorf("payload: %w", err)
	}
	if err := agree(e, &f); err != nil {
		return Row{}, err
	}
	r := Row{
		Channel: e.Channel, Seq: e.Seq, ID: e.ID, Kind: e.Kind, Sender: e.Sender,
		Body: f.Body, SentAt: f.SentAt.Time, from: f.From, to: f.To,
		mentions: f.Mentions, emoji: f.Emoji, remove: f.Remove,
	}
	if f.ClientID != nil {
		r.ClientID = uuid.NullUUID{UUID: f.ClientID.UUID, Valid: true}
	}
	switch e.Kind {
	case event.Edit, event.Delete, event.Reaction:
		if f.MessageID == nil {
			return Row{}, fmt.Errorf("payload: %s without message_id", e.Kind)
		}
		r.Target = uuid.NullUUID{UUID: f.MessageID.UUID, Valid: true}
	case event.MemberJoined, event.MemberLeft:
		if f.UserID == nil {
			return Row{}, fmt.Errorf("payload: %s without user_id", e.Kind)
		}
		r.Target = uuid.NullUUID{UUID: f.UserID.UUID, Valid: true}
	case event.Gap:
		if f.From < 1 || f.To < f.From || f.To-f.From >= maxGap {
			return Row{}, fmt.Errorf("payload: gap from %d to %d", f.From, f.To)
		}
	}
	d := eventrow.Data{
		SenderName: f.SenderName, Username: f.Username, Mentions: f.Mentions, ReplyTo: f.ReplyTo,
		Emoji: f.Emoji, Remove: f.Remove, RemovedBy: f.RemovedBy, Channel: f.Channel, From: f.From, To: f.To,
	}
	if strings.IndexByte(f.Body, 0) >= 0 || strings.IndexByte(f.SenderName, 0) >= 0 ||
		strings.IndexByte(f.Username, 0) >= 0 || strings.IndexByte(f.Emoji, 0) >= 0 {
		return Row{}, errors.New("payload has U+0000, which PostgreSQL cannot store")
	}
	return r, r.setData(d)
}

// agree checks that the frame matches its entry. It ignores the sender of a gap, because a gap's
// frame has none.
func agree(e event.Entry, f *frame.Event) error {
	switch {
	case f.Type != e.Kind:
		return fmt.Errorf("payload: type is %.40q, but the entry's kind is %q", f.Type, e.Kind)
	case f.ChannelID != e.Channel:
		return errors.New("payload: channel_id differs from the entry's")
	case f.Seq != e.Seq:
		return fmt.Errorf("payload: seq is %d, but the entry's seq is %d", f.Seq, e.Seq)
	case f.ID != e.ID:
		return errors.New("payload: id differs from the entry's")
	case e.Kind != event.Gap && f.SenderID != e.Sender:
		return errors.New("payload: sender_id differs from the entry's")
	case f.SentAt.IsZero():
		return errors.New("payload: sent_at is missing")
	}
	return nil
}

func (r *Row) setData(d eventrow.Data) error {
	if d.Empty() {
		return nil
	}
	if other := d; isPlain(d.SenderName) { // fast path: most rows have no other data
		if other.SenderName = ""; other.Empty() {
			r.Data = append(append(append(make([]byte, 0, 20+len(d.SenderName)), `{"sender_name":"`...), d.SenderName...), `"}`...)
			return nil
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(d); err != nil {
		return fmt.Errorf("encode data of a %s: %w", r.Kind, err)
	}
	r.Data = bytes.TrimSuffix(buf.Bytes(), []byte{'\n'})
	return nil
}

// isPlain reports whether s needs no escaping in JSON.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			return false
		}
	}
	return true
}

// FailedRow returns the tombstone for an entry that becomes a dead letter. e contains the fields
// that could be decoded. ok is false if the channel or the seq is unknown. The reason is shown to
// the sender.
func FailedRow(e event.Entry, reason string, at time.Time) (r Row, ok bool) {
	if e.Channel.IsZero() || e.Seq < 1 {
		return Row{}, false
	}
	r = Row{Channel: e.Channel, Seq: e.Seq, ID: e.ID, Kind: event.Failed, Sender: e.Sender, SentAt: at}
	if r.ID.IsZero() {
		r.ID = chat.TombstoneID(r.Channel, r.Seq)
	}
	if !e.ClientID.IsZero() {
		r.ClientID = uuid.NullUUID{UUID: e.ClientID.UUID, Valid: true}
	}
	return r, r.setData(eventrow.Data{Reason: plainText(reason)}) == nil
}

// failed returns the tombstone of a row that PostgreSQL refused.
func (r *Row) failed(reason string) Row {
	t := Row{Channel: r.Channel, Seq: r.Seq, ID: r.ID, Kind: event.Failed, Sender: r.Sender, ClientID: r.ClientID, SentAt: r.SentAt}
	_ = t.setData(eventrow.Data{Reason: plainText(reason)}) // a string always encodes
	return t
}

// tombstoneAt returns a tombstone for a seq whose event is unknown.
func tombstoneAt(kind event.Kind, ch chat.ChannelID, seq int64, at time.Time) Row {
	return Row{Channel: ch, Seq: seq, ID: chat.TombstoneID(ch, seq), Kind: kind, SentAt: at}
}

// plainText converts any text to a string of bounded length that PostgreSQL can store.
func plainText(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "?")
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "")
	}
	return s
}

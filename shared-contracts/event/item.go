package event

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley.chat/shared-contracts/chat"
)

// Item is an event as it is published on a topic and stored in a tail. It consists of a header for
// the gateway, and the frame, which the gateway forwards without decoding it.
//
// Its encoding is "<version> <epoch> <seq> <entry id> <kind> <sender>\n", followed by the frame.
// The append script writes the same encoding.
type Item struct {
	Epoch   Epoch
	Seq     int64  // 0 for an ephemeral event, which has no epoch or entry id either
	EntryID string // id of the entry in the partition's stream
	Kind    Kind
	Sender  chat.UserID
	Frame   []byte
}

// Ephemeral reports whether the item's event is ephemeral, that is, has no seq.
func (it Item) Ephemeral() bool { return it.Seq == 0 }

// AppendedAt returns the time at which the event was appended, according to Redis's clock. If the
// entry id is malformed, AppendedAt returns the current time.
func (it Item) AppendedAt() time.Time {
	ms, _, _ := strings.Cut(it.EntryID, "-")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return time.Now()
	}
	return time.UnixMilli(n)
}

// Encode returns the encoding of the item.
func (it Item) Encode() []byte {
	b := make([]byte, 0, 128+len(it.Frame))
	b = strconv.AppendInt(b, Version, 10)
	b = append(append(b, ' '), orDash(string(it.Epoch))...)
	b = strconv.AppendInt(append(b, ' '), it.Seq, 10)
	b = append(append(b, ' '), orDash(it.EntryID)...)
	b = append(append(b, ' '), it.Kind...)
	b = append(append(b, ' '), it.Sender.String()...)
	b = append(b, '\n')
	return append(b, it.Frame...)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// DecodeItem decodes an item. The item's frame shares the memory of b.
func DecodeItem(b []byte) (Item, error) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return Item{}, errors.New("item has no header line")
	}
	rest, frame := b[:end], b[end+1:]
	var f [6][]byte
	for i := range f {
		word, more, found := bytes.Cut(rest, []byte{' '})
		if len(word) == 0 || found != (i < len(f)-1) {
			return Item{}, fmt.Errorf("item header %.120q does not have 6 words", b[:end])
		}
		f[i], rest = word, more
	}
	version, err := strconv.Atoi(string(f[0]))
	if err != nil || version < 1 {
		return Item{}, fmt.Errorf("invalid item version %.20q", f[0])
	}
	if version > Version {
		return Item{}, fmt.Errorf("item version %d, the newest known version is %d: %w", version, Version, ErrNewer)
	}
	it := Item{Kind: Kind(f[4]), Frame: frame}
	if it.Seq, err = strconv.ParseInt(string(f[2]), 10, 64); err != nil || it.Seq < 0 {
		return Item{}, fmt.Errorf("invalid item seq %.30q", f[2])
	}
	if it.Sender, err = chat.ParseUserID(string(f[5])); err != nil {
		return Item{}, fmt.Errorf("item sender: %w", err)
	}
	if it.Seq == 0 {
		return it, nil
	}
	it.EntryID = string(f[3])
	if it.Epoch, err = ParseEpoch(string(f[1])); err != nil {
		return Item{}, fmt.Errorf("item: %w", err)
	}
	return it, nil
}

// DecodeItems decodes a message that was published on a topic, and calls the function each with
// every item. The message contains the items of one append, separated by newlines; frames contain
// no newlines. DecodeItems returns an error at the first corrupt item.
func DecodeItems(b []byte, each func(Item)) error {
	for len(b) > 0 {
		header := bytes.IndexByte(b, '\n')
		if header < 0 {
			return errors.New("item has no header line")
		}
		end := len(b)
		if n := bytes.IndexByte(b[header+1:], '\n'); n >= 0 {
			end = header + 1 + n
		}
		it, err := DecodeItem(b[:end:end])
		if err != nil {
			return err
		}
		each(it)
		b = b[min(end+1, len(b)):]
	}
	return nil
}

package event

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"parley.chat/shared-contracts/chat"
)

// KindReceipts is the kind of the ephemeral item that informs gateways about new receipts. Its
// frame is not sent to clients: it contains the receipts as encoded by EncodeMoves. If there are
// too many receipts for one item, the frame is empty.
const KindReceipts Kind = "receipts"

// KindPresence is the kind of the ephemeral item that reports which users have come online or gone
// offline in a channel.
const KindPresence Kind = "presence"

// MaxMoves is the maximum number of receipts in one entry of the receipts stream.
const MaxMoves = 500

// Receipt holds a member's delivered and read positions in a channel. Read is never greater than
// Delivered.
type Receipt struct {
	User            chat.UserID
	Delivered, Read int64
}

// Receipts is one entry in a partition's receipts stream. It contains new receipts of some members
// of a channel. The script that records receipts writes the same encoding.
type Receipts struct {
	Channel chat.ChannelID
	Moves   []Receipt
}

const fieldMoves = "moves"

// Fields returns the entry's fields for XADD.
func (r Receipts) Fields() []any {
	return []any{fieldVersion, Version, fieldChannel, r.Channel.String(), fieldMoves, string(EncodeMoves(r.Moves))}
}

// EncodeMoves encodes receipts as text in the form "<user>:<delivered>:<read>", separated by
// spaces.
func EncodeMoves(moves []Receipt) []byte {
	b := make([]byte, 0, len(moves)*48)
	for i, m := range moves {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(append(b, m.User.String()...), ':')
		b = append(strconv.AppendInt(b, m.Delivered, 10), ':')
		b = strconv.AppendInt(b, m.Read, 10)
	}
	return b
}

// DecodeReceipts decodes the fields of a receipts entry. Errors name the invalid field. As in
// DecodeEntry, the error wraps ErrNewer if a newer release wrote the entry.
func DecodeReceipts(fields map[string]any) (Receipts, error) {
	var r Receipts
	var errs []error
	text := func(name string) string {
		s, ok := fields[name].(string)
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
	version, err := strconv.Atoi(text(fieldVersion))
	check(fieldVersion, err)
	if err == nil && version > Version {
		errs = append(errs, fmt.Errorf("receipts version %d, the newest known version is %d: %w", version, Version, ErrNewer))
	} else if err == nil && version < 1 {
		errs = append(errs, fmt.Errorf("%s: %d is not a version", fieldVersion, version))
	}
	r.Channel, err = chat.ParseChannelID(text(fieldChannel))
	check(fieldChannel, err)
	r.Moves, err = DecodeMoves(text(fieldMoves))
	check(fieldMoves, err)
	if err == nil && len(r.Moves) == 0 {
		errs = append(errs, fmt.Errorf("%s: empty", fieldMoves))
	}
	return r, errors.Join(errs...)
}

// DecodeMoves decodes the result of EncodeMoves.
func DecodeMoves(text string) ([]Receipt, error) {
	if text == "" {
		return nil, nil
	}
	if n := strings.Count(text, " ") + 1; n > MaxMoves {
		return nil, fmt.Errorf("%d moves, the maximum is %d", n, MaxMoves)
	}
	var moves []Receipt
	for word := range strings.SplitSeq(text, " ") {
		m, err := decodeMove(word)
		if err != nil {
			return nil, err
		}
		moves = append(moves, m)
	}
	return moves, nil
}

func decodeMove(word string) (Receipt, error) {
	user, rest, _ := strings.Cut(word, ":")
	delivered, read, ok := strings.Cut(rest, ":")
	if !ok {
		return Receipt{}, fmt.Errorf("move %.90q is not user:delivered:read", word)
	}
	var m Receipt
	var err error
	if m.User, err = chat.ParseUserID(user); err != nil {
		return Receipt{}, fmt.Errorf("move %.90q: %w", word, err)
	}
	if m.Delivered, err = strconv.ParseInt(delivered, 10, 64); err != nil {
		return Receipt{}, fmt.Errorf("move %.90q: %w", word, err)
	}
	if m.Read, err = strconv.ParseInt(read, 10, 64); err != nil {
		return Receipt{}, fmt.Errorf("move %.90q: %w", word, err)
	}
	if m.Read < 0 || m.Delivered < m.Read {
		return Receipt{}, fmt.Errorf("move %.90q: read is below 0 or above delivered", word)
	}
	return m, nil
}

package frame

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// The most frequent frames (sends, their acks, the resulting messages, and receipts) are encoded
// and decoded without reflection. This takes a fifth of the time that encoding/json takes. Tests
// verify that the results are identical to the results of encoding/json.

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. The result is the same as that of encoding/json without
// HTML escapes. Other packages use AppendString to encode JSON without reflection.
func AppendString(b []byte, s string) []byte { return appendString(b, s) }

// appendString appends s as a JSON string. The result is the same as that of encoding/json without
// HTML escapes.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\b':
				b = append(b, '\\', 'b')
			case '\f':
				b = append(b, '\\', 'f')
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029': // line terminators in JavaScript
			b = append(append(b, s[start:i]...), `\u202`...)
			b = append(b, hexDigits[r&0xf])
			start = i + size
		}
		i += size
	}
	return append(append(b, s[start:]...), '"')
}

func appendID(b []byte, id uuid.UUID) []byte {
	return append(chat.AppendUUID(append(b, '"'), id), '"')
}

func appendTime(b []byte, t chat.Time) []byte {
	return append(t.AppendTo(append(b, '"')), '"')
}

// AppendBefore appends the part of e's frame before the seq; see EncodeAround.
func (e *Event) AppendBefore(b []byte) []byte {
	b = append(append(b, `{"type":"`...), e.Type...)
	b = append(b, `","channel_id":`...)
	return append(appendID(b, e.ChannelID.UUID), `,"seq":`...)
}

// AppendAfter appends the part of e's frame after the seq; see EncodeAround.
func (e *Event) AppendAfter(b []byte) ([]byte, error) {
	if e.Type == event.Message {
		return e.appendMessage(b), nil
	}
	after, err := e.encodeAfter()
	return append(b, after...), err
}

// appendMessage appends the fields that follow the seq in a message's frame, starting with a comma.
func (e *Event) appendMessage(b []byte) []byte {
	b = appendID(append(b, `,"id":`...), e.ID.UUID)
	b = append(b, `,"client_id":`...)
	if e.ClientID == nil {
		b = append(b, "null"...)
	} else {
		b = appendID(b, e.ClientID.UUID)
	}
	b = appendID(append(b, `,"sender_id":`...), e.SenderID.UUID)
	b = appendString(append(b, `,"sender_name":`...), e.SenderName)
	b = appendString(append(b, `,"body":`...), e.Body)
	b = append(b, `,"mentions":[`...)
	for i, m := range e.Mentions {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendID(b, m.UUID)
	}
	b = append(b, `],"reply_to":`...)
	if e.ReplyTo == nil {
		b = append(b, "null"...)
	} else {
		b = appendID(b, e.ReplyTo.UUID)
	}
	return append(appendTime(append(b, `,"sent_at":`...), e.SentAt), '}')
}

// AppendTo appends the frame of an ack.
func (a Ack) AppendTo(b []byte) []byte {
	b = append(b, `{"type":"ack"`...)
	if a.Ref != "" {
		b = appendString(append(b, `,"ref":`...), a.Ref)
	}
	b = appendID(append(b, `,"channel_id":`...), a.ChannelID.UUID)
	b = appendID(append(b, `,"client_id":`...), a.ClientID.UUID)
	b = appendID(append(b, `,"id":`...), a.ID.UUID)
	b = strconv.AppendInt(append(b, `,"seq":`...), a.Seq, 10)
	b = appendTime(append(b, `,"sent_at":`...), a.SentAt)
	b = strconv.AppendBool(append(b, `,"duplicate":`...), a.Duplicate)
	return append(b, '}')
}

// plainFields holds all values to which a Client's fields point after plain.decode, so that
// decoding a frame needs only one allocation.
type plainFields struct {
	channel chat.ChannelID
	client  chat.ClientID
	reply   chat.EventID
	body    string
	seq     int64
}

// plainTypes lists the frame types that plain.decode supports: sends and receipts, the most
// frequent types.
var plainTypes = [...]Type{Send, Read, Delivered}

// decode decodes the next object in a frame. The object's type must be in plainTypes, and the
// object must have the plain form: only known fields, each at most once, with escapes only in the
// body. decode returns false for any other object, valid or not. The caller then uses decodeAny.
func (p *plain) decode(c *Client) bool {
	if !p.skip('{') {
		return false
	}
	f := new(plainFields)
	var seen byte
	for {
		key, ok := p.text()
		if !ok || !p.skip(':') {
			return false
		}
		var (
			bit     byte
			value   []byte
			escaped bool
		)
		if string(key) == "seq" {
			bit = 64
			f.seq, ok = p.integer()
			c.Seq = &f.seq
		} else if value, escaped, ok = p.value(); !ok {
			return false
		}
		switch string(key) {
		case "type":
			i := slices.IndexFunc(plainTypes[:], func(t Type) bool { return string(value) == string(t) })
			if bit, ok = 1, i >= 0; ok {
				c.Type = plainTypes[i]
			}
		case "ref":
			bit, ok = 2, utf8.Valid(value)
			c.Ref = string(value)
		case "channel_id":
			bit = 4
			f.channel.UUID, ok = plainID(value)
			c.ChannelID = &f.channel
		case "client_id":
			bit = 8
			f.client.UUID, ok = plainID(value)
			c.ClientID = &f.client
		case "reply_to":
			bit = 16
			f.reply.UUID, ok = plainID(value)
			c.ReplyTo = &f.reply
		case "body":
			bit = 32
			if escaped {
				// Decode the raw value together with its quotes. A U+FFFD in the result may be the
				// replacement for half of a surrogate pair, so return false: decodeAny then checks
				// the value.
				ok = json.Unmarshal(p.data[p.at-len(value)-2:p.at], &f.body) == nil && !strings.Contains(f.body, "\ufffd")
				escaped = false
			} else {
				ok = utf8.Valid(value)
				f.body = string(value)
			}
			c.Body = &f.body
		}
		if bit == 0 || !ok || escaped || seen&bit != 0 {
			return false
		}
		seen |= bit
		if p.skip(',') {
			continue
		}
		return p.skip('}') && seen&1 != 0 && len(c.Ref) <= MaxRefBytes
	}
}

func plainID(b []byte) (uuid.UUID, bool) {
	if len(b) != 36 {
		return uuid.UUID{}, false
	}
	id, err := uuid.ParseBytes(b)
	return id, err == nil
}

// plain is a decoder for objects in the plain form; see decode.
type plain struct {
	data []byte
	at   int
}

func (p *plain) space() {
	for p.at < len(p.data) && (p.data[p.at] == ' ' || p.data[p.at] == '\n' || p.data[p.at] == '\t' || p.data[p.at] == '\r') {
		p.at++
	}
}

func (p *plain) skip(c byte) bool {
	p.space()
	if p.at == len(p.data) || p.data[p.at] != c {
		return false
	}
	p.at++
	p.space()
	return true
}

func (p *plain) ended() bool { return p.at == len(p.data) }

// text decodes a string without escapes.
func (p *plain) text() (s []byte, ok bool) {
	s, escaped, ok := p.value()
	return s, ok && !escaped
}

// integer decodes a JSON number that has no fraction or exponent.
func (p *plain) integer() (n int64, ok bool) {
	start := p.at
	for p.at < len(p.data) && (p.data[p.at] >= '0' && p.data[p.at] <= '9' || p.at == start && p.data[p.at] == '-') {
		p.at++
	}
	digits := bytes.TrimPrefix(p.data[start:p.at], []byte{'-'})
	if len(digits) > 1 && digits[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseInt(string(p.data[start:p.at]), 10, 64)
	return n, err == nil
}

// value returns the raw contents of a JSON string without its quotes. escaped reports whether they
// contain escapes.
func (p *plain) value() (s []byte, escaped, ok bool) {
	if p.at == len(p.data) || p.data[p.at] != '"' {
		return nil, false, false
	}
	start := p.at + 1
	for i := start; i < len(p.data); i++ {
		switch c := p.data[i]; {
		case c == '"':
			p.at = i + 1
			return p.data[start:i], escaped, true
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			return nil, false, false
		}
	}
	return nil, false, false
}

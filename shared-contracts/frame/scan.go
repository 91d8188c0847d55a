package frame

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// scanMessage decodes a message's frame if it has exactly the form that Encode writes. It is much
// faster than encoding/json, and messages are decoded more often than other frames. For any other
// input, valid or not, ok is false. The caller then uses encoding/json.
func scanMessage(b []byte) (e Event, ok bool) {
	s := scanner{rest: b}
	e.Type = event.Message
	s.literal(`{"type":"message","channel_id":"`)
	e.ChannelID.UUID = s.uuid()
	s.literal(`","seq":`)
	e.Seq = s.integer()
	s.literal(`,"id":"`)
	e.ID.UUID = s.uuid()
	s.literal(`","client_id":`)
	if !s.skip("null") {
		s.literal(`"`)
		e.ClientID = &chat.ClientID{UUID: s.uuid()}
		s.literal(`"`)
	}
	s.literal(`,"sender_id":"`)
	e.SenderID.UUID = s.uuid()
	s.literal(`","sender_name":"`)
	e.SenderName = s.text()
	s.literal(`","body":"`)
	e.Body = s.text()
	s.literal(`","mentions":[`)
	e.Mentions = s.users()
	s.literal(`],"reply_to":`)
	if !s.skip("null") {
		s.literal(`"`)
		e.ReplyTo = &chat.EventID{UUID: s.uuid()}
		s.literal(`"`)
	}
	s.literal(`,"sent_at":"`)
	e.SentAt = s.time()
	s.literal(`"}`)
	if s.failed || len(s.rest) > 0 {
		return Event{}, false
	}
	return e, true
}

// scanner consumes input from the start of rest. If the input does not have the expected form,
// failed is set, and all results are meaningless.
type scanner struct {
	rest   []byte
	failed bool
}

// skip consumes prefix if rest starts with it.
func (s *scanner) skip(prefix string) bool {
	if len(s.rest) < len(prefix) || string(s.rest[:len(prefix)]) != prefix {
		return false
	}
	s.rest = s.rest[len(prefix):]
	return true
}

func (s *scanner) literal(word string) {
	if !s.failed && !s.skip(word) {
		s.failed = true
	}
}

// take consumes and returns the next n bytes. If fewer bytes remain, it sets failed and returns
// nil.
func (s *scanner) take(n int) []byte {
	if s.failed || len(s.rest) < n {
		s.failed = true
		return nil
	}
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}

func (s *scanner) uuid() uuid.UUID {
	id, err := uuid.ParseBytes(s.take(36))
	if err != nil {
		s.failed = true
	}
	return id
}

func (s *scanner) users() []chat.UserID {
	ids := []chat.UserID{}
	for !s.failed && len(s.rest) > 0 && s.rest[0] != ']' {
		if len(ids) > 0 {
			s.literal(",")
		}
		s.literal(`"`)
		ids = append(ids, chat.UserID{UUID: s.uuid()})
		s.literal(`"`)
	}
	return ids
}

// integer consumes a positive number that has no sign, leading zero, fraction or exponent.
func (s *scanner) integer() int64 {
	n := 0
	for n < len(s.rest) && s.rest[n] >= '0' && s.rest[n] <= '9' {
		n++
	}
	digits := s.take(n)
	if n == 0 || digits == nil || digits[0] == '0' {
		s.failed = true
		return 0
	}
	v, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		s.failed = true
	}
	return v
}

// text consumes the contents of a string, up to its closing quote. It uses encoding/json only if
// the string contains escapes.
func (s *scanner) text() string {
	if s.failed {
		return ""
	}
	escaped := false
	for i := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			b := s.take(i)
			if escaped {
				return s.unquote(b)
			}
			if !utf8.Valid(b) {
				s.failed = true
			}
			return string(b)
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			s.failed = true
			return ""
		}
	}
	s.failed = true
	return ""
}

func (s *scanner) unquote(b []byte) (text string) {
	quoted := append(append(append(make([]byte, 0, len(b)+2), '"'), b...), '"')
	if json.Unmarshal(quoted, &text) != nil {
		s.failed = true
	}
	return text
}

// time consumes a time in the format of chat.Time.
func (s *scanner) time() chat.Time {
	end := bytes.IndexByte(s.rest, '"')
	if s.failed || end != len(chat.TimeLayout) {
		s.failed = true
		return chat.Time{}
	}
	at, err := time.Parse(time.RFC3339, string(s.take(end))) // time.Parse has a fast path for RFC3339
	if err != nil {
		s.failed = true
	}
	return chat.At(at)
}

package wire

import (
	"bytes"
)

// Kind is the type of a JSON object from the server. Other stands for all types that the load
// generator does not distinguish.
type Kind uint8

// The kinds of objects.
const (
	Other Kind = iota
	Message
	Ack
	Hello
	Subscribed
	Error
)

var kinds = []struct {
	prefix []byte
	kind   Kind
}{
	{[]byte(`{"type":"message"`), Message},
	{[]byte(`{"type":"ack"`), Ack},
	{[]byte(`{"type":"hello"`), Hello},
	{[]byte(`{"type":"subscribed"`), Subscribed},
	{[]byte(`{"type":"error"`), Error},
}

// KindOf returns the kind of an object. It checks only how the object begins.
func KindOf(object []byte) Kind {
	for i := range kinds {
		if bytes.HasPrefix(object, kinds[i].prefix) {
			return kinds[i].kind
		}
	}
	return Other
}

var (
	seqMark  = []byte(`,"seq":`)
	bodyMark = []byte(`"body":"`)
	refMark  = []byte(`"ref":"`)
)

// channelAt is the byte offset of the channel id in a message object.
const channelAt = len(`{"type":"message","channel_id":"`)

// ChannelID is a channel's id in text form.
type ChannelID [36]byte

// Channel returns a message's channel id. ok is false if the object is too short to contain one.
func Channel(object []byte) (id ChannelID, ok bool) {
	if len(object) < channelAt+len(id) {
		return id, false
	}
	return ChannelID(object[channelAt:]), true
}

// Seq returns the seq of an object, or 0 if it has none. Text in a body cannot be mistaken for a
// seq, because quotes in a body are escaped.
func Seq(object []byte) int64 { return number(object, seqMark) }

// Stamp returns the number at the beginning of an object's body, or 0 if there is none.
func Stamp(object []byte) int64 { return number(object, bodyMark) }

// Ref returns the number at the beginning of an object's ref, or 0 if there is none.
func Ref(object []byte) int64 { return number(object, refMark) }

func number(object, mark []byte) (n int64) {
	i := bytes.Index(object, mark)
	if i < 0 {
		return 0
	}
	for _, c := range object[i+len(mark):] {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// Next returns the first object in a text frame's payload, and the rest. Newlines separate the
// objects.
func Next(payload []byte) (object, rest []byte) {
	if i := bytes.IndexByte(payload, '\n'); i >= 0 {
		return payload[:i], payload[i+1:]
	}
	return payload, nil
}

// Run describes the messages in one payload by their first seq and their time stamps.
type Run struct {
	First  int64
	Stamps []int64
	// Whole is true if the payload contains only messages and their seqs are consecutive.
	Whole bool
}

// ParseRun parses a payload into r and reuses r's memory.
func ParseRun(payload []byte, r *Run) {
	r.First, r.Stamps, r.Whole = 0, r.Stamps[:0], true
	for len(payload) > 0 {
		var object []byte
		object, payload = Next(payload)
		if KindOf(object) != Message {
			r.Whole = false
			return
		}
		seq := Seq(object)
		if len(r.Stamps) == 0 {
			r.First = seq
		}
		if seq == 0 || seq != r.First+int64(len(r.Stamps)) {
			r.Whole = false
			return
		}
		r.Stamps = append(r.Stamps, Stamp(object))
	}
	r.Whole = len(r.Stamps) > 0
}

// Cache stores the parsed runs of recent payloads. Many connections receive the same bytes for a
// message, and comparing bytes is several times cheaper than parsing them again.
type Cache struct {
	slots [256]cached
}

type cached struct {
	payload []byte
	run     Run
}

// Run returns the parsed messages of a payload. The payload must begin with a message. The result
// is valid until the next call.
func (c *Cache) Run(payload []byte) *Run {
	head, _ := Next(payload)
	s := &c.slots[uint(Seq(head))%uint(len(c.slots))]
	if !bytes.Equal(s.payload, payload) {
		s.payload = append(s.payload[:0], payload...)
		ParseRun(s.payload, &s.run)
	}
	return &s.run
}

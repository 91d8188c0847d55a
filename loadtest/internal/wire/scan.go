package wire

import (
	"bytes"
)

// Kind is the type of an object from the server. It has only the types that the load generator
// distinguishes.
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

// KindOf determines the kind of an object from its beginning.
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

// channelAt is the position of the channel id in a message, directly after its type.
const channelAt = len(`{"type":"message","channel_id":"`)

// ChannelID is the text of a channel's id.
type ChannelID [36]byte

// Channel returns the channel of a message; ok is false if the object is too short to contain one.
func Channel(object []byte) (id ChannelID, ok bool) {
	if len(object) < channelAt+len(id) {
		return id, false
	}
	return ChannelID(object[channelAt:]), true
}

// Seq returns the seq of an object, or 0 if it has none. Text in a body cannot be mistaken for a
// seq, because quotes in a body are escaped.
func Seq(object []byte) int64 { return number(object, seqMark) }

// Stamp returns the digits at the beginning of an object's body, or 0 if there are none.
func Stamp(object []byte) int64 { return number(object, bodyMark) }

// Ref returns the digits at the beginning of an object's ref, or 0 if there are none.
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

// Next splits the first object off a text frame's payload. Objects are joined by newlines.
func Next(payload []byte) (object, rest []byte) {
	if i := bytes.IndexByte(payload, '\n'); i >= 0 {
		return payload[:i], payload[i+1:]
	}
	return payload, nil
}

// Run contains the messages of one payload: the first seq, and the time stamp of each.
type Run struct {
	First  int64
	Stamps []int64
	// Whole reports that the payload contains only messages, with consecutive seqs.
	Whole bool
}

// ParseRun parses a payload of messages into r and reuses the memory of r.
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

// Cache stores the parsed runs of recent payloads. A message is sent to many connections as the
// same bytes, and comparing these is several times cheaper than parsing them again.
type Cache struct {
	slots [256]cached
}

type cached struct {
	payload []byte
	run     Run
}

// Run returns the run of a payload that begins with a message. It is valid until the next call.
func (c *Cache) Run(payload []byte) *Run {
	head, _ := Next(payload)
	s := &c.slots[uint(Seq(head))%uint(len(c.slots))]
	if !bytes.Equal(s.payload, payload) {
		s.payload = append(s.payload[:0], payload...)
		ParseRun(s.payload, &s.run)
	}
	return &s.run
}

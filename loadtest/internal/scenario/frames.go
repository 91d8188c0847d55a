package scenario

import (
	"fmt"
	"strconv"
	"strings"

	"parley.chat/loadtest/internal/stage"
	"parley.chat/loadtest/internal/swarm"
	"parley.chat/loadtest/internal/wire"
	"parley.chat/shared-contracts/chat"
)

// frameBuilder builds the frames that clients send. It reuses its buffers, so a frame is valid only
// until the next call.
type frameBuilder struct {
	target   string
	channels []string
	padding  string
	sender   string // sender of the messages to the bare broadcaster
	run      string // prefix of all client ids in this run
	payload  []byte
	frame    []byte
	n        int64
}

// stampDigits is the number of digits of the time stamp in a message.
const stampDigits = 19

func newFrameBuilder(target string, channels []chat.ChannelID, body int) *frameBuilder {
	s := &frameBuilder{
		target: target, padding: strings.Repeat("x", max(body-stampDigits-1, 0)),
		sender: chat.NewUserID().String(), run: chat.NewClientID().String()[:24],
	}
	for _, c := range channels {
		s.channels = append(s.channels, c.String())
	}
	return s
}

// upgrade returns the HTTP request that opens a user's WebSocket. If all is false, the connection
// starts without subscriptions.
func (s *frameBuilder) upgrade(host string, p stage.Person, all bool) []byte {
	switch {
	case s.target == Bare:
		return wire.Upgrade(host, "/ws?channel="+strconv.Itoa(p.Channel), "")
	case all:
		return wire.Upgrade(host, "/ws", p.Token)
	}
	return wire.Upgrade(host, "/ws?subscribe=none", p.Token)
}

// message returns the frame that sends a message to a channel. For Parley it is a send frame. The
// bare broadcaster forwards each frame unchanged, so its frame is a message event of the same size
// as Parley's, including the seq.
func (s *frameBuilder) message(channel int, seq, stamp int64) []byte {
	s.n++
	b := s.payload[:0]
	if s.target == Bare {
		b = append(append(b, `{"type":"message","channel_id":"`...), s.channels[channel]...)
		b = strconv.AppendInt(append(b, `","seq":`...), seq, 10)
		b = s.appendID(append(b, `,"id":"`...))
		b = s.appendID(append(b, `","client_id":"`...))
		b = append(append(b, `","sender_id":"`...), s.sender...)
		b = append(append(append(b, `","sender_name":"load-`...), s.sender...), `",`...)
		b = s.appendBody(b, stamp)
		b = append(b, `,"mentions":[],"reply_to":null,"sent_at":"2026-01-02T03:04:05.678Z"}`...)
	} else {
		b = wire.AppendPadded(append(b, `{"type":"send","ref":"`...), stamp, stampDigits)
		b = append(append(b, `","channel_id":"`...), s.channels[channel]...)
		b = s.appendID(append(b, `","client_id":"`...))
		b = append(s.appendBody(append(b, `",`...), stamp), '}')
	}
	s.payload = b
	s.frame = wire.AppendFrame(s.frame[:0], wire.Text, b)
	return s.frame
}

// appendID appends a UUID that is unique within the run for each value of n.
func (s *frameBuilder) appendID(b []byte) []byte {
	return wire.AppendPadded(append(b, s.run...), s.n, 12)
}

func (s *frameBuilder) appendBody(b []byte, stamp int64) []byte {
	b = wire.AppendPadded(append(b, `"body":"`...), stamp, stampDigits)
	return append(append(append(b, ' '), s.padding...), '"')
}

// resume returns the frame that subscribes to a channel, starting with the first event after
// lastSeen.
func (s *frameBuilder) resume(channel int, lastSeen int64) []byte {
	return wire.AppendFrame(nil, wire.Text, fmt.Appendf(nil,
		`{"type":"subscribe","ref":"1","channel_id":%q,"last_seen_seq":%d}`, s.channels[channel], lastSeen))
}

// cursors returns the frame that reports all events before the given positions as delivered and
// read.
func (s *frameBuilder) cursors(at ...swarm.Position) []byte {
	b := s.payload[:0]
	for _, p := range at {
		for _, kind := range []string{"delivered", "read"} {
			if len(b) > 0 {
				b = append(b, '\n')
			}
			b = append(append(append(b, `{"type":"`...), kind...), `","channel_id":"`...)
			b = strconv.AppendInt(append(append(b, s.channels[p.Channel]...), `","seq":`...), p.Next-1, 10)
			b = append(b, '}')
		}
	}
	s.payload = b
	s.frame = wire.AppendFrame(s.frame[:0], wire.Text, b)
	return s.frame
}

// typing returns a typing frame. on is true if the user has started typing, and false if the user
// has stopped.
func (s *frameBuilder) typing(channel int, on bool) []byte {
	return wire.AppendFrame(nil, wire.Text, fmt.Appendf(nil, `{"type":"typing","channel_id":%q,"typing":%t}`, s.channels[channel], on))
}

// resumeAll returns the frame that subscribes to all of a client's channels, starting at its
// current positions.
func (s *frameBuilder) resumeAll(positions []swarm.Position) []byte {
	b := append(s.payload[:0], `{"type":"subscribe","ref":"1","channels":[`...)
	for i, p := range positions {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, `{"channel_id":"`...), s.channels[p.Channel]...), `","last_seen_seq":`...)
		b = append(strconv.AppendInt(b, p.Next-1, 10), '}')
	}
	s.payload = append(b, "]}"...)
	return wire.AppendFrame(nil, wire.Text, s.payload)
}

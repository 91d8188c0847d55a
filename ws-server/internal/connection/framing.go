package connection

import "encoding/binary"

// Close codes that this package and its callers send (RFC 6455 7.4, docs/websocket.md).
const (
	CloseGoingAway         = 1001
	CloseInvalidUTF8       = 1007
	ClosePolicy            = 1008
	CloseRestart           = 1012
	CloseSlowConsumer      = 4008
	opText, opClose        = 0x1, 0x8
	opPing                 = 0x9
	finalFragment     byte = 0x80
)

// MaxCloseReason is the maximum length of a close reason in bytes. A longer reason would make the
// close frame invalid.
const MaxCloseReason = 123

// Text returns an unmasked text frame (RFC 6455 5.2) that contains the payloads, joined by
// newlines.
func Text(payloads ...[]byte) []byte {
	size := max(len(payloads)-1, 0)
	for _, p := range payloads {
		size += len(p)
	}
	b := appendHeader(make([]byte, 0, size+10), opText, size)
	for i, p := range payloads {
		if i > 0 {
			b = append(b, '\n')
		}
		b = append(b, p...)
	}
	return b
}

// textRoom is the number of bytes that BeginText reserves for the frame's header.
const textRoom = 4

// BeginText returns a buffer for a text frame. The caller appends the payload to the buffer and
// passes the result to EndText.
func BeginText(room int) []byte { return make([]byte, textRoom, textRoom+room) }

// EndText returns the text frame for a buffer from BeginText.
func EndText(b []byte) []byte {
	size := len(b) - textRoom
	switch {
	case size < 126:
		b = b[textRoom-2:]
		b[0], b[1] = finalFragment|opText, byte(size)
	case size < 1<<16:
		b[0], b[1] = finalFragment|opText, 126
		binary.BigEndian.PutUint16(b[2:], uint16(size))
	default:
		return Text(b[textRoom:])
	}
	return b
}

// pingFrame is a ping without a payload.
var pingFrame = []byte{finalFragment | opPing, 0}

func closeFrame(code int, reason string) []byte {
	if len(reason) > MaxCloseReason {
		reason = reason[:MaxCloseReason]
	}
	b := appendHeader(nil, opClose, 2+len(reason))
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	return append(b, reason...)
}

func appendHeader(b []byte, op byte, size int) []byte {
	b = append(b, finalFragment|op)
	switch {
	case size < 126:
		return append(b, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(size))
	}
	return binary.BigEndian.AppendUint64(append(b, 127), uint64(size))
}

package connection

import "encoding/binary"

// The close codes that this package and its users send (RFC 6455 7.4, docs/websocket.md).
const (
	CloseGoingAway         = 1001
	CloseInvalidUTF8       = 1007
	ClosePolicy            = 1008
	CloseRestart           = 1012
	CloseSlowConsumer      = 4008
	maxCloseReason         = 123 // bytes; a longer reason makes the frame invalid
	opText, opClose        = 0x1, 0x8
	opPing                 = 0x9
	finalFragment     byte = 0x80
)

// Text returns an unmasked text frame (RFC 6455 5.2) of payloads joined by newlines.
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

// pingFrame is a ping without a payload.
var pingFrame = []byte{finalFragment | opPing, 0}

func closeFrame(code int, reason string) []byte {
	if len(reason) > maxCloseReason {
		reason = reason[:maxCloseReason]
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

// Package wire implements the parts of WebSocket and of Parley's frames that a load generator
// needs. It builds client frames and parses server frames. It finds seqs and time stamps with byte
// searches, without decoding JSON.
package wire

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// WebSocket opcodes that a server may send (RFC 6455).
const (
	Continuation = 0x0
	Text         = 0x1
	Binary       = 0x2
	Close        = 0x8
	Ping         = 0x9
	Pong         = 0xA
)

// maxPayload is the maximum payload size of a server's frame, in bytes. A larger size means that
// the stream is corrupt.
const maxPayload = 16 << 20

// Errors that Parse returns.
var (
	ErrMasked   = errors.New("wire: the server masks its frames")
	ErrReserved = errors.New("wire: reserved bits are set")
	ErrTooLarge = errors.New("wire: the frame is too large")
)

// Frame is a server's frame. Payload shares the memory of the parsed buffer.
type Frame struct {
	Op      byte
	Fin     bool
	Payload []byte
}

// Parse parses the first frame in b. size is the frame's length in bytes, or 0 if the frame is
// incomplete.
func Parse(b []byte) (f Frame, size int, err error) {
	if len(b) < 2 {
		return Frame{}, 0, nil
	}
	if b[0]&0x70 != 0 {
		return Frame{}, 0, ErrReserved
	}
	if b[1]&0x80 != 0 {
		return Frame{}, 0, ErrMasked
	}
	head, length := 2, uint64(b[1])
	switch length {
	case 126:
		if len(b) < 4 {
			return Frame{}, 0, nil
		}
		head, length = 4, uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if len(b) < 10 {
			return Frame{}, 0, nil
		}
		head, length = 10, binary.BigEndian.Uint64(b[2:])
	}
	if length > maxPayload {
		return Frame{}, 0, ErrTooLarge
	}
	size = head + int(length)
	if len(b) < size {
		return Frame{}, 0, nil
	}
	return Frame{Op: b[0] & 0xF, Fin: b[0]&0x80 != 0, Payload: b[head:size:size]}, size, nil
}

// AppendFrame appends a client's frame. Its masking key is zero, so the payload is unchanged.
// Servers must accept this key, but real clients must use a random one.
func AppendFrame(dst []byte, op byte, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	return append(append(dst, 0, 0, 0, 0), payload...)
}

// Upgrade returns the HTTP request that opens a WebSocket. It includes the token unless token is
// empty.
func Upgrade(host, path, token string) []byte {
	b := "GET " + path + " HTTP/1.1\r\nHost: " + host +
		"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: cGFybGV5LWxvYWQtdGVzdA==\r\n"
	if token != "" {
		b += "Authorization: Bearer " + token + "\r\n"
	}
	return []byte(b + "\r\n")
}

// CloseCode returns the status code in a close frame's payload, or 1005 if the payload contains
// none.
func CloseCode(payload []byte) int {
	if len(payload) < 2 {
		return 1005
	}
	return int(binary.BigEndian.Uint16(payload))
}

// AppendPadded appends n in decimal, padded with zeros to width digits.
func AppendPadded(dst []byte, n int64, width int) []byte {
	var digits [20]byte
	d := strconv.AppendInt(digits[:0], n, 10)
	for range width - len(d) {
		dst = append(dst, '0')
	}
	return append(dst, d...)
}

// Package resp writes the commands and reads the replies of the Redis protocol RESP3. It allocates
// no memory per command or per reply. The caller matches replies to commands. Code that runs for
// every event uses this package instead of go-redis.
//
// Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
package resp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// AppendArray appends the header of an array of n values, such as a command with n arguments.
func AppendArray(b []byte, n int) []byte {
	b = strconv.AppendInt(append(b, '*'), int64(n), 10)
	return append(b, '\r', '\n')
}

// AppendBulk appends a string.
func AppendBulk[T string | []byte](b []byte, s T) []byte {
	b = strconv.AppendInt(append(b, '$'), int64(len(s)), 10)
	b = append(b, '\r', '\n')
	b = append(b, s...)
	return append(b, '\r', '\n')
}

// AppendBulkInt appends a number as a string.
func AppendBulkInt(b []byte, n int64) []byte {
	var digits [20]byte
	return AppendBulk(b, strconv.AppendInt(digits[:0], n, 10))
}

// AppendCommand appends a whole command.
func AppendCommand(b []byte, args ...string) []byte {
	b = AppendArray(b, len(args))
	for _, a := range args {
		b = AppendBulk(b, a)
	}
	return b
}

// The kinds of values that a connection has to distinguish, identified by their first byte.
const (
	KindError = '-'
	KindPush  = '>'
)

// Value is one reply or push. Nested values are flattened into fields, depth first. That is
// sufficient because every command that a connection sends is answered with a string or a list of
// strings. The fields refer to the reader's buffer, so they are valid only until the next Fill.
type Value struct {
	Kind   byte
	Fields [][]byte
}

// ErrProtocol means that the bytes received are not valid RESP3.
var ErrProtocol = errors.New("not RESP3")

// Limits of a Reader. A buffer of more than MaxIdleBuffer bytes is released once it is empty.
const (
	minBuffer     = 16 << 10
	MaxIdleBuffer = 1 << 20
	maxDepth      = 8
)

// Reader splits the bytes of a connection into values.
type Reader struct {
	src        io.Reader
	buf        []byte
	start, end int // bounds of the bytes in buf that were read but not yet consumed
	fields     [][]byte
}

// NewReader returns a Reader that reads from src.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Buffered returns the next value if the buffer contains all of it.
func (r *Reader) Buffered() (v Value, ok bool, err error) {
	b := r.buf[r.start:r.end]
	if len(b) == 0 {
		return Value{}, false, nil
	}
	fields, n, err := parse(b, r.fields[:0], 0)
	r.fields = fields
	if err != nil || n == 0 {
		return Value{}, false, err
	}
	r.start += n
	return Value{Kind: b[0], Fields: fields}, true, nil
}

// Fill reads more bytes. It invalidates the fields of values returned earlier.
func (r *Reader) Fill() error {
	if r.start == r.end {
		r.start, r.end = 0, 0
		if len(r.buf) > MaxIdleBuffer {
			r.buf = nil
		}
	}
	if r.buf == nil {
		r.buf = make([]byte, minBuffer)
	}
	if r.end == len(r.buf) {
		rest := r.buf[r.start:r.end]
		if len(rest) > len(r.buf)/2 {
			r.buf = make([]byte, 2*len(r.buf))
		}
		r.start, r.end = 0, copy(r.buf, rest)
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	return err
}

// parse parses the value at the start of b and appends its leaves to fields. n is the length of the
// value, or 0 if b contains only part of it.
func parse(b []byte, fields [][]byte, depth int) (_ [][]byte, n int, err error) {
	line := bytes.IndexByte(b, '\n')
	if line < 0 {
		return fields, 0, nil
	}
	if line < 2 || b[line-1] != '\r' || depth > maxDepth {
		return fields, 0, fmt.Errorf("%w: %.40q", ErrProtocol, b)
	}
	text, n := b[1:line-1], line+1
	switch b[0] {
	case '+', '-', ':', ',', '#', '(':
		return append(fields, text), n, nil
	case '_':
		return append(fields, nil), n, nil
	}
	size, err := strconv.Atoi(string(text))
	if err != nil || size < -1 {
		return fields, 0, fmt.Errorf("%w: %.40q", ErrProtocol, b)
	}
	switch b[0] {
	case '$', '=', '!':
		if size < 0 {
			return append(fields, nil), n, nil
		}
		if len(b) < n+size+2 {
			return fields, 0, nil
		}
		return append(fields, b[n:n+size:n+size]), n + size + 2, nil
	case '%', '|':
		size *= 2
		fallthrough
	case '*', '>', '~':
		for range size {
			var m int
			if fields, m, err = parse(b[n:], fields, depth+1); err != nil || m == 0 {
				return fields, 0, err
			}
			n += m
		}
		return fields, n, nil
	}
	return fields, 0, fmt.Errorf("%w: %.40q", ErrProtocol, b)
}

package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"parley.chat/shared-contracts/event"
)

// copyRows stores rows with COPY, which is the fastest way to load rows into PostgreSQL. COPY does
// not support ON CONFLICT: if a row already exists, the transaction fails with SQLSTATE 23505. A
// row can already exist only after a crash, a claim or a replay. This package encodes the rows
// itself, because pgx takes several times as long per row (see testdata/bench.txt).
func copyRows(ctx context.Context, tx pgx.Tx, rows []Row) error {
	src := &copySource{rows: rows}
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, src, "copy messages ("+columns+") from stdin (format binary)")
	if err != nil {
		return err
	}
	if int(tag.RowsAffected()) != len(rows) {
		return fmt.Errorf("copied %d of %d rows", tag.RowsAffected(), len(rows))
	}
	all := make([]int, len(rows))
	for i := range rows {
		all[i] = i
		if rows[i].Kind == event.Gap {
			if err := fillGap(ctx, tx, &rows[i]); err != nil {
				return err
			}
		}
	}
	return project(ctx, tx, rows, all)
}

// copySource is an io.Reader that returns rows in the binary COPY format. It encodes one buffer at
// a time, so that its memory usage does not depend on the size of the batch.
type copySource struct {
	rows []Row
	next int
	buf  []byte // encoded but not yet read
	mem  []byte // the allocation that backs buf
	done bool
}

// copyHeader is the file header of the binary COPY format: the signature, no flags and no header
// extension.
var copyHeader = append([]byte("PGCOPY\n\xff\r\n\x00"), make([]byte, 8)...)

const copyBuffer = 64 << 10

func (s *copySource) Read(p []byte) (int, error) {
	if len(s.buf) == 0 {
		if s.done {
			return 0, io.EOF
		}
		s.fill()
	}
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	return n, nil
}

func (s *copySource) fill() {
	if s.mem == nil {
		s.mem = make([]byte, 0, copyBuffer+8<<10)
	}
	b := s.mem[:0]
	if s.next == 0 {
		b = append(b, copyHeader...)
	}
	for s.next < len(s.rows) && len(b) < copyBuffer {
		b = appendRow(b, &s.rows[s.next])
		s.next++
	}
	if s.next == len(s.rows) {
		b = append(b, 0xff, 0xff) // trailer
		s.done = true
	}
	s.mem, s.buf = b, b
}

// pgEpoch is the epoch of PostgreSQL timestamps, in microseconds since 1970.
var pgEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// appendRow appends the columns of a row in the order of columnNames.
func appendRow(b []byte, r *Row) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(columnNames)))
	b = appendField(b, r.Channel.UUID[:])
	b = binary.BigEndian.AppendUint64(appendLength(b, 8), uint64(r.Seq))
	b = appendField(b, r.ID.UUID[:])
	b = append(appendLength(b, len(r.Kind)), r.Kind...)
	b = appendField(b, r.Sender.UUID[:])
	b = appendNullable(b, r.ClientID)
	b = appendNullable(b, r.Target)
	b = append(appendLength(b, len(r.Body)), r.Body...)
	if r.Data == nil {
		b = appendLength(b, -1)
	} else {
		b = append(appendLength(b, len(r.Data)+1), 1) // jsonb format version
		b = append(b, r.Data...)
	}
	return binary.BigEndian.AppendUint64(appendLength(b, 8), uint64(r.SentAt.UnixMicro()-pgEpoch))
}

func appendLength(b []byte, n int) []byte { return binary.BigEndian.AppendUint32(b, uint32(int32(n))) }

func appendField(b, field []byte) []byte { return append(appendLength(b, len(field)), field...) }

func appendNullable(b []byte, id uuid.NullUUID) []byte {
	if !id.Valid {
		return appendLength(b, -1)
	}
	return appendField(b, id.UUID[:])
}

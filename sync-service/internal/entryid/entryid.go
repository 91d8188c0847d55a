// Package entryid is the id of a stream entry, "<ms>-<seq>", as a value that can be compared and kept
// in two columns of PostgreSQL.
package entryid

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ID is the id of a stream entry. The zero ID lies before every entry.
type ID struct{ Ms, Seq int64 }

// Parse reads "<ms>-<seq>", or "<ms>" for "<ms>-0".
func Parse(s string) (ID, error) {
	ms, seq, found := strings.Cut(s, "-")
	if !found {
		seq = "0"
	}
	var id ID
	var err error
	if id.Ms, err = strconv.ParseInt(ms, 10, 64); err != nil || id.Ms < 0 {
		return ID{}, fmt.Errorf("entry id %.40q has no time", s)
	}
	if id.Seq, err = strconv.ParseInt(seq, 10, 64); err != nil || id.Seq < 0 {
		return ID{}, fmt.Errorf("entry id %.40q has no sequence", s)
	}
	return id, nil
}

// String returns "<ms>-<seq>".
func (id ID) String() string {
	return strconv.FormatInt(id.Ms, 10) + "-" + strconv.FormatInt(id.Seq, 10)
}

// Compare orders ids as Redis does.
func (id ID) Compare(other ID) int {
	return cmp.Or(cmp.Compare(id.Ms, other.Ms), cmp.Compare(id.Seq, other.Seq))
}

// Less reports whether id lies before other.
func (id ID) Less(other ID) bool { return id.Compare(other) < 0 }

// Prev returns the id just below.
func (id ID) Prev() ID {
	switch {
	case id.Seq > 0:
		return ID{id.Ms, id.Seq - 1}
	case id.Ms > 0:
		return ID{id.Ms - 1, math.MaxInt64}
	}
	return ID{}
}

// Next returns the id just above.
func (id ID) Next() ID {
	if id.Seq == math.MaxInt64 {
		return ID{id.Ms + 1, 0}
	}
	return ID{id.Ms, id.Seq + 1}
}

// At returns the first id of a time.
func At(t time.Time) ID { return ID{Ms: max(0, t.UnixMilli())} }

// Time returns when the entry was added, by the clock of Redis.
func (id ID) Time() time.Time { return time.UnixMilli(id.Ms).UTC() }

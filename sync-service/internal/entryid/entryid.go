// Package entryid represents the id of a stream entry, "<ms>-<seq>", as a value that can be
// compared and can be stored in two PostgreSQL columns.
package entryid

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ID is the id of a stream entry. The zero ID is below the id of every entry.
type ID struct{ Ms, Seq int64 }

// Parse parses "<ms>-<seq>", or "<ms>" as an abbreviation of "<ms>-0".
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

// Less reports whether id is below other.
func (id ID) Less(other ID) bool { return id.Compare(other) < 0 }

// Prev returns the highest id below id.
func (id ID) Prev() ID {
	switch {
	case id.Seq > 0:
		return ID{id.Ms, id.Seq - 1}
	case id.Ms > 0:
		return ID{id.Ms - 1, math.MaxInt64}
	}
	return ID{}
}

// Next returns the lowest id above id.
func (id ID) Next() ID {
	if id.Seq == math.MaxInt64 {
		return ID{id.Ms + 1, 0}
	}
	return ID{id.Ms, id.Seq + 1}
}

// At returns the lowest id that an entry added at time t can have.
func At(t time.Time) ID { return ID{Ms: max(0, t.UnixMilli())} }

// Time returns the time at which the entry was added, according to the Redis server's clock.
func (id ID) Time() time.Time { return time.UnixMilli(id.Ms).UTC() }

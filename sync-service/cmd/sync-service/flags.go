package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley.chat/shared-contracts/event"
	"parley.chat/sync-service/internal/entryid"
)

// moment is a point in time given on the command line: an RFC 3339 timestamp, a UTC date with an
// optional time, or a duration before now.
type moment struct{ time.Time }

// UnmarshalText parses "2026-01-31T12:00:00Z", "2026-01-31 12:00", "2026-01-31" or "36h". A time
// without a zone is in UTC, so that it means the same on every machine.
func (m *moment) UnmarshalText(text []byte) error {
	s := string(text)
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		m.Time = time.Now().Add(-d)
		return nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			m.Time = t
			return nil
		}
	}
	return fmt.Errorf("%q is neither a time like 2026-01-31T12:00:00Z (UTC without a zone) nor a duration like 36h", s)
}

// entryFlag is a command-line flag that holds an entry id.
type entryFlag struct{ entryid.ID }

// UnmarshalText parses "<ms>-<seq>" or "<ms>".
func (f *entryFlag) UnmarshalText(text []byte) (err error) {
	f.ID, err = entryid.Parse(string(text))
	return err
}

// deadLetterName identifies a dead letter on the command line: "<partition>/<entry id>", as "dead
// list" prints it.
type deadLetterName struct {
	partition int
	id        entryid.ID
}

// UnmarshalText parses "3/1769828400000-0".
func (n *deadLetterName) UnmarshalText(text []byte) error {
	partition, id, found := strings.Cut(string(text), "/")
	var err error
	if n.partition, err = strconv.Atoi(partition); !found || err != nil || n.partition < 0 {
		return fmt.Errorf("%.60q is not a dead letter like 3/1769828400000-0", text)
	}
	if n.id, err = entryid.Parse(id); err != nil {
		return fmt.Errorf("%.60q is not a dead letter like 3/1769828400000-0: %w", text, err)
	}
	return nil
}

func (n deadLetterName) String() string { return fmt.Sprintf("%d/%s", n.partition, n.id) }

// kindFlag is a command-line flag that holds an event kind.
type kindFlag event.Kind

// UnmarshalText accepts the kinds of events that the streams contain, such as "message".
func (k *kindFlag) UnmarshalText(text []byte) error {
	if !event.Kind(text).Known() {
		return fmt.Errorf("%.40q is not a kind of event, such as message, edit, delete, reaction or member_joined", text)
	}
	*k = kindFlag(text)
	return nil
}

// checkSpan rejects an empty time span.
func checkSpan(since, until *moment) error {
	if since != nil && until != nil && !since.Before(until.Time) {
		return fmt.Errorf("--since %s is not before --until %s", since.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339))
	}
	return nil
}

// checkPartitions returns an error if any chosen partition does not exist.
func checkPartitions(chosen []int, partitions int) error {
	for _, p := range chosen {
		if p < 0 || p >= partitions {
			return fmt.Errorf("there is no partition %d: the partitions are 0 to %d", p, partitions-1)
		}
	}
	return nil
}

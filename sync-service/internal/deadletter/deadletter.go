// Package deadletter manages the entries that cannot be stored in PostgreSQL. Each partition has a
// stream of dead letters. A dead letter contains the entry's original fields and the reason. Only
// operators remove dead letters.
package deadletter

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/vmihailenco/msgpack/v5"

	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

//go:embed move.lua
var moveSource string

var moveScript = redis.NewScript(moveSource)

// Source identifies the stream from which an entry was read.
type Source string

// The streams whose entries may become dead letters.
const (
	Events   Source = "stream"
	Receipts Source = "receipts"
)

func (s Source) key(partition int) string {
	if s == Receipts {
		return rediskey.Receipts(partition)
	}
	return rediskey.Stream(partition)
}

// Letter is a dead letter.
type Letter struct {
	Source    Source
	Partition int
	ID        string         // id in the stream of dead letters
	Entry     string         // original entry id
	Fields    map[string]any // original fields of the entry
	Reason    string
	Attempts  int64
	At        time.Time
	Event     event.Entry // only the fields that can be decoded
}

// Names of the fields that a dead letter has in addition to the fields of the entry.
const (
	fieldPrefix   = "dead_"
	fieldPacked   = fieldPrefix + "packed"
	fieldStream   = fieldPrefix + "stream"
	fieldEntry    = fieldPrefix + "entry"
	fieldReason   = fieldPrefix + "reason"
	fieldAttempts = fieldPrefix + "attempts"
	fieldAt       = fieldPrefix + "at"
)

// Move atomically moves a pending entry from a partition's stream to its dead-letter stream and
// acknowledges it. moved is false if the entry was not pending.
func Move(ctx context.Context, rdb redis.UniversalClient, from Source, partition int, entry, reason string) (moved bool, err error) {
	keys := []string{from.key(partition), rediskey.Dead(partition)}
	letter, err := moveScript.Run(ctx, rdb, keys, rediskey.ConsumerGroup, entry, reason, string(from)).Text()
	if err != nil {
		return false, fmt.Errorf("move entry %s of %s to the dead letters: %w", entry, from.key(partition), err)
	}
	return letter != "", nil
}

// Decode parses a dead letter. It parses as much as possible, because an operator may have added or
// changed the entry by hand.
func Decode(m redis.XMessage) Letter {
	text := func(name string) string { s, _ := m.Values[name].(string); return s }
	l := Letter{Source: Events, ID: m.ID, Entry: text(fieldEntry), Reason: text(fieldReason), Fields: maps.Clone(m.Values)}
	if Source(text(fieldStream)) == Receipts {
		l.Source = Receipts
	}
	l.Attempts, _ = strconv.ParseInt(text(fieldAttempts), 10, 64)
	if ms, err := strconv.ParseInt(text(fieldAt), 10, 64); err == nil {
		l.At = time.UnixMilli(ms).UTC()
	}
	maps.DeleteFunc(l.Fields, func(name string, _ any) bool { return strings.HasPrefix(name, fieldPrefix) })
	if packed, ok := m.Values[fieldPacked].(string); ok {
		unpack([]byte(packed), l.Fields)
	}
	l.Event, _ = event.DecodeEntry(l.Fields) // decoding usually fails, because most dead letters are entries that cannot be decoded
	return l
}

// unpack decodes the fields that move.lua has packed into dead_packed and adds them to fields. If
// decoding fails, it adds none.
func unpack(packed []byte, fields map[string]any) {
	var flat []string
	if err := msgpack.Unmarshal(packed, &flat); err != nil {
		return // show the remaining fields
	}
	for i := 0; i+1 < len(flat); i += 2 {
		fields[flat[i]] = flat[i+1]
	}
}

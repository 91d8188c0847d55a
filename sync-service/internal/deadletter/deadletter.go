// Package deadletter keeps the entries that cannot be stored: as they were, with the reason, in a stream
// of their partition. Nothing removes a letter but the operator.
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

// Source is the stream that an entry came from.
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
	ID        string         // in the stream of dead letters
	Entry     string         // the id that the entry had
	Fields    map[string]any // the entry as it was
	Reason    string
	Attempts  int64
	At        time.Time
	Event     event.Entry // as far as it can be read
}

// The names of the fields that a letter adds to the entry's.
const (
	fieldPrefix   = "dead_"
	fieldPacked   = fieldPrefix + "packed"
	fieldStream   = fieldPrefix + "stream"
	fieldEntry    = fieldPrefix + "entry"
	fieldReason   = fieldPrefix + "reason"
	fieldAttempts = fieldPrefix + "attempts"
	fieldAt       = fieldPrefix + "at"
)

// Move moves a pending entry of a partition's stream to the dead letters and acknowledges it, in one step.
// moved is false when the entry was not pending.
func Move(ctx context.Context, rdb redis.UniversalClient, from Source, partition int, entry, reason string) (moved bool, err error) {
	keys := []string{from.key(partition), rediskey.Dead(partition)}
	letter, err := moveScript.Run(ctx, rdb, keys, rediskey.ConsumerGroup, entry, reason, string(from)).Text()
	if err != nil {
		return false, fmt.Errorf("move entry %s of %s to the dead letters: %w", entry, from.key(partition), err)
	}
	return letter != "", nil
}

// Decode reads a letter. What an operator may have put there by hand is read as far as it goes.
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
	l.Event, _ = event.DecodeEntry(l.Fields) // the error is, most of the time, the reason
	return l
}

// unpack adds to fields those that move.lua has packed, as far as they can be read.
func unpack(packed []byte, fields map[string]any) {
	var flat []string
	if err := msgpack.Unmarshal(packed, &flat); err != nil {
		return // the letter shows what is left
	}
	for i := 0; i+1 < len(flat); i += 2 {
		fields[flat[i]] = flat[i+1]
	}
}

package deadletter

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"
	"github.com/vmihailenco/msgpack/v5"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

//go:embed replace.lua
var replaceSource string

var replaceScript = redis.NewScript(replaceSource)

// fieldPayload is the field of an entry that has its frame.
const fieldPayload = "payload"

// Named returns the user whom the letter names. A payload that cannot be read may have the name of its sender.
func (l Letter) Named() (user chat.UserID, ok bool) {
	payload, _ := l.Fields[fieldPayload].(string)
	if l.Source != Events || payload == "" {
		return chat.UserID{}, false
	}
	if e, err := frame.DecodeEvent([]byte(payload)); err == nil {
		return e.Named()
	}
	if user, ok := frame.NamedIn(l.Event.Kind, []byte(payload)); ok {
		return user, true
	}
	return l.Event.Sender, !l.Event.Sender.IsZero()
}

// Unname replaces the letter by one without the name. A payload that cannot be read becomes empty. It may be
// repeated; done is false if somebody else removed or replaced the letter.
func Unname(ctx context.Context, rdb redis.UniversalClient, l Letter) (done bool, err error) {
	fields := maps.Clone(l.Fields)
	fields[fieldPayload] = ""
	payload, _ := l.Fields[fieldPayload].(string)
	if e, err := frame.DecodeEvent([]byte(payload)); err == nil {
		e.Unname()
		if b, err := e.Encode(); err == nil {
			fields[fieldPayload] = string(b)
		}
	}
	args, err := l.values(fields)
	if err != nil {
		return false, fmt.Errorf("letter %s: %w", l.Name(), err)
	}
	id, err := replaceScript.Run(ctx, rdb, []string{rediskey.Dead(l.Partition)}, append([]any{l.ID}, args...)...).Text()
	if err != nil {
		return false, fmt.Errorf("replace letter %s: %w", l.Name(), err)
	}
	return id != "", nil
}

// values returns the letter with other fields of its entry, as move.lua writes a letter.
func (l Letter) values(fields map[string]any) ([]any, error) {
	var flat []any
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		flat = append(flat, name, fields[name])
	}
	if len(flat) > maxFields {
		packed, err := msgpack.Marshal(flat)
		if err != nil {
			return nil, fmt.Errorf("pack its fields: %w", err)
		}
		flat = []any{fieldPacked, packed}
	}
	return append(flat, fieldStream, string(l.Source), fieldEntry, l.Entry, fieldReason, l.Reason,
		fieldAttempts, l.Attempts, fieldAt, l.At.UnixMilli()), nil
}

// maxFields is from how many names and values on move.lua packs them.
const maxFields = 4000

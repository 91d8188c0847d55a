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

// fieldPayload is the field of an entry that contains its frame.
const fieldPayload = "payload"

// NamedUser returns the user whose name the dead letter contains. If the payload cannot be decoded,
// it is assumed to contain the sender's name.
func (l Letter) NamedUser() (user chat.UserID, ok bool) {
	payload, _ := l.Fields[fieldPayload].(string)
	if l.Source != Events || payload == "" {
		return chat.UserID{}, false
	}
	if e, err := frame.DecodeEvent([]byte(payload)); err == nil {
		return e.NamedUser()
	}
	if user, ok := frame.NamedUserIn(l.Event.Kind, []byte(payload)); ok {
		return user, true
	}
	return l.Event.Sender, !l.Event.Sender.IsZero()
}

// RemoveName replaces the dead letter with one that does not contain the user's name. If the
// payload cannot be decoded, it becomes empty. RemoveName may be repeated; done is false if the
// dead letter was already removed or replaced.
func RemoveName(ctx context.Context, rdb redis.UniversalClient, l Letter) (done bool, err error) {
	fields := map[string]any{}
	maps.Copy(fields, l.Fields)
	fields[fieldPayload] = ""
	payload, _ := l.Fields[fieldPayload].(string)
	if e, err := frame.DecodeEvent([]byte(payload)); err == nil {
		e.RemoveName()
		if b, err := e.Encode(); err == nil {
			fields[fieldPayload] = string(b)
		}
	}
	args, err := l.values(fields)
	if err != nil {
		return false, fmt.Errorf("encode dead letter %s: %w", l.Name(), err)
	}
	id, err := replaceScript.Run(ctx, rdb, []string{rediskey.Dead(l.Partition)}, append([]any{l.ID}, args...)...).Text()
	if err != nil {
		return false, fmt.Errorf("replace dead letter %s: %w", l.Name(), err)
	}
	return id != "", nil
}

// values returns the field names and values of the dead letter in the form in which move.lua writes
// them. fields contains the entry's fields, without the user's name.
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

// maxFields is the maximum number of field names and values that an entry of the dead-letter stream
// may have. A larger entry is packed into one field, because a Lua script can pass only a limited
// number of arguments to a Redis command. move.lua uses the same limit.
const maxFields = 4000

package group

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/platform/redisscript"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
)

var (
	//go:embed lib.lua
	libSource string
	//go:embed ack.lua
	ackSource string
	//go:embed trim.lua
	trimSource string
	//go:embed reap.lua
	reapSource string

	ackScript  = Script(ackSource)
	trimScript = Script(trimSource)
	reapScript = Script(reapSource)
)

// Script returns a script that can use the functions of lib.lua.
func Script(source string) *redis.Script { return redis.NewScript(libSource + source) }

// Call holds the keys and arguments of one script call.
type Call struct {
	Keys []string
	Args []any
}

// RunAll runs a script once per call in one round trip (one per node in Redis Cluster) and returns
// the replies in the order of the calls. If a node does not know the script, RunAll loads it and
// repeats the calls that failed. The returned error comes from the first call that failed.
func RunAll(ctx context.Context, rdb redis.UniversalClient, script *redis.Script, calls []Call) ([]any, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	all := make([]*redisscript.Call, len(calls))
	for i, c := range calls {
		all[i] = &redisscript.Call{Script: script, Keys: c.Keys, Args: c.Args}
	}
	if err := redisscript.Run(ctx, rdb, all); err != nil {
		return nil, err
	}
	answers := make([]any, len(calls))
	for i, c := range all {
		answers[i] = c.Reply.Val()
	}
	return answers, nil
}

// Acks holds the entries of a stream to acknowledge. If IDs is empty, Ack acknowledges nothing and
// only returns the Snapshot.
type Acks struct {
	Stream string
	Mirror string // the key that mirrors the stream's watermark; "" if there is none
	IDs    []string
}

// Ack acknowledges entries of several streams in one round trip and returns the group's progress in
// each stream.
func Ack(ctx context.Context, rdb redis.UniversalClient, acks []Acks) ([]Snapshot, error) {
	calls := make([]Call, len(acks))
	for i, a := range acks {
		args := make([]any, 1, len(a.IDs)+1)
		args[0] = rediskey.ConsumerGroup
		for _, id := range a.IDs {
			args = append(args, id)
		}
		calls[i] = Call{[]string{a.Stream}, args}
		if a.Mirror != "" {
			calls[i].Keys = append(calls[i].Keys, a.Mirror)
		}
	}
	answers, err := RunAll(ctx, rdb, ackScript, calls)
	if err != nil {
		return nil, fmt.Errorf("acknowledge: %w", err)
	}
	snapshots := make([]Snapshot, len(acks))
	for i, answer := range answers {
		if snapshots[i], err = parseSnapshot(answer); err != nil {
			return nil, fmt.Errorf("acknowledge in %s: %w", acks[i].Stream, err)
		}
	}
	return snapshots, nil
}

// Snapshot is the group's progress in one stream.
type Snapshot struct {
	Known bool       // false if the stream or the group does not exist
	Bound entryid.ID // every entry at or below this id is stored and acknowledged
	Added int64      // number of entries added at or below Bound, -1 if unknown
	// Corrected is true if the group's entries-read was wrong, for example after a failover, and
	// has been corrected.
	Corrected bool
}

// parseSnapshot parses the answer of ack.lua.
func parseSnapshot(answer any) (Snapshot, error) {
	a, ok := answer.([]any)
	if !ok || len(a) != 1 && len(a) != 6 {
		return Snapshot{}, fmt.Errorf("ack.lua returned %v", answer)
	}
	if len(a) == 1 {
		return Snapshot{}, nil
	}
	lowest, ok1 := a[2].(string)
	delivered, ok2 := a[3].(string)
	added, ok3 := a[4].(int64)
	corrected, ok4 := a[5].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return Snapshot{}, fmt.Errorf("ack.lua returned %v", answer)
	}
	s := Snapshot{Known: true, Added: added, Corrected: corrected == 1}
	var err error
	if s.Bound, err = entryid.Parse(delivered); lowest != "" && err == nil {
		var low entryid.ID
		low, err = entryid.Parse(lowest)
		s.Bound = low.Prev()
	}
	if err != nil {
		return Snapshot{}, errors.Join(errors.New("ack.lua returned an invalid entry id"), err)
	}
	return s, nil
}

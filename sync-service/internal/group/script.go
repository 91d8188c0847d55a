package group

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

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

// Script returns a script that has the functions of lib.lua before it.
func Script(source string) *redis.Script { return redis.NewScript(libSource + source) }

// Call is one call of a script.
type Call struct {
	Keys []string
	Args []any
}

// RunAll calls a script for each of calls in one round trip (per node of a cluster) and returns the
// answers in order. A node that does not know the script is given it, and the calls it has not done are
// made again, so the script must bear that. The error is that of the first call that failed.
func RunAll(ctx context.Context, rdb redis.UniversalClient, script *redis.Script, calls []Call) ([]any, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	pipe := rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		cmds[i] = script.EvalSha(ctx, pipe, c.Keys, c.Args...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	answers := make([]any, len(calls))
	for i, cmd := range cmds {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			cmd = script.Eval(ctx, rdb, calls[i].Keys, calls[i].Args...)
		}
		if err := cmd.Err(); err != nil {
			return nil, err
		}
		answers[i] = cmd.Val()
	}
	return answers, nil
}

// Acks are entries of a stream to be acknowledged, none to ask for the Snapshot only.
type Acks struct {
	Stream string
	Mirror string // the key that mirrors the stream's watermark, "" for none
	IDs    []string
}

// Ack acknowledges entries of several streams in one round trip and returns how far the group has come
// with each.
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

// Snapshot is how far the group has come with a stream.
type Snapshot struct {
	Known bool       // false when the stream or the group is gone
	Bound entryid.ID // every entry at or below it is stored and acknowledged
	Added int64      // how many entries were added up to it, -1 for unknown
	// Rebased says that the group's entries-read was wrong, as after a failover, and was set right.
	Rebased bool
}

// parseSnapshot reads the answer of ack.lua.
func parseSnapshot(answer any) (Snapshot, error) {
	a, ok := answer.([]any)
	if !ok || len(a) != 1 && len(a) != 6 {
		return Snapshot{}, fmt.Errorf("ack.lua answered %v", answer)
	}
	if len(a) == 1 {
		return Snapshot{}, nil
	}
	lowest, ok1 := a[2].(string)
	delivered, ok2 := a[3].(string)
	added, ok3 := a[4].(int64)
	rebased, ok4 := a[5].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return Snapshot{}, fmt.Errorf("ack.lua answered %v", answer)
	}
	s := Snapshot{Known: true, Added: added, Rebased: rebased == 1}
	var err error
	if s.Bound, err = entryid.Parse(delivered); lowest != "" && err == nil {
		var low entryid.ID
		low, err = entryid.Parse(lowest)
		s.Bound = low.Prev()
	}
	if err != nil {
		return Snapshot{}, errors.Join(errors.New("ack.lua answered no entry id"), err)
	}
	return s, nil
}

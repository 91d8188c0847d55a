package consumer

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"parley.chat/sync-service/internal/entryid"
)

var (
	//go:embed lib.lua
	libSource string
	//go:embed ack.lua
	ackSource string
	//go:embed mirror.lua
	mirrorSource string
	//go:embed settle.lua
	settleSource string
	//go:embed trim.lua
	trimSource string
	//go:embed reap.lua
	reapSource string

	ackScript    = redis.NewScript(libSource + ackSource)
	mirrorScript = redis.NewScript(libSource + mirrorSource)
	settleScript = redis.NewScript(libSource + settleSource)
	trimScript   = redis.NewScript(libSource + trimSource)
	reapScript   = redis.NewScript(libSource + reapSource)
)

// call is one call of a script.
type call struct {
	keys []string
	args []any
}

// runAll calls a script for each of calls in one round trip (per node of a cluster) and returns the
// answers in order. A node that does not know the script is given it, and the calls it has not done are
// made again; all scripts here may be repeated. The error is that of the first call that failed.
func runAll(ctx context.Context, rdb redis.UniversalClient, script *redis.Script, calls []call) ([]any, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	pipe := rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		cmds[i] = script.EvalSha(ctx, pipe, c.keys, c.args...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	answers := make([]any, len(calls))
	for i, cmd := range cmds {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			cmd = script.Eval(ctx, rdb, calls[i].keys, calls[i].args...)
		}
		if err := cmd.Err(); err != nil {
			return nil, err
		}
		answers[i] = cmd.Val()
	}
	return answers, nil
}

// snapshot is how far the group has come with a partition.
type snapshot struct {
	known bool       // false when the stream or the group is gone
	bound entryid.ID // every entry at or below it is stored and acknowledged
	added int64      // how many entries were added up to it, -1 for unknown
}

// parseSnapshot reads the answer of ack.lua.
func parseSnapshot(answer any) (snapshot, error) {
	a, ok := answer.([]any)
	if !ok || len(a) != 1 && len(a) != 5 {
		return snapshot{}, fmt.Errorf("ack.lua answered %v", answer)
	}
	if len(a) == 1 {
		return snapshot{}, nil
	}
	lowest, ok1 := a[2].(string)
	delivered, ok2 := a[3].(string)
	added, ok3 := a[4].(int64)
	if !ok1 || !ok2 || !ok3 {
		return snapshot{}, fmt.Errorf("ack.lua answered %v", answer)
	}
	s := snapshot{known: true, added: added}
	var err error
	if s.bound, err = entryid.Parse(delivered); lowest != "" && err == nil {
		var low entryid.ID
		low, err = entryid.Parse(lowest)
		s.bound = low.Prev()
	}
	if err != nil {
		return snapshot{}, errors.Join(errors.New("ack.lua answered no entry id"), err)
	}
	return s, nil
}

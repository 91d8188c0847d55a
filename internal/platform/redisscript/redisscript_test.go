package redisscript_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/platform/redisscript"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

var (
	add  = redis.NewScript("return redis.call('incrby', KEYS[1], ARGV[1])")
	fail = redis.NewScript("return redis.error_reply('no')")
)

func TestRun(t *testing.T) {
	t.Parallel()
	rdb := redistest.NewServer(t).Client(t)
	for _, state := range []string{"script is missing", "script is there", "script is missing again"} {
		calls := []*redisscript.Call{
			{Script: add, Keys: []string{"a"}, Args: []any{1}},
			{Script: add, Keys: []string{"b"}, Args: []any{10}},
		}
		var length *redis.IntCmd
		if err := redisscript.Run(t.Context(), rdb, calls, func(pipe redis.Pipeliner) { length = pipe.RPush(t.Context(), "list", "x") }); err != nil {
			t.Fatalf("%s: %v", state, err)
		}
		if length.Val() == 0 || length.Err() != nil {
			t.Errorf("%s: the command beside the calls: %v", state, length)
		}
		if strings.Contains(state, "is there") {
			if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for key, want := range map[string]string{"a": "3", "b": "30"} {
		if got := rdb.Get(t.Context(), key).Val(); got != want {
			t.Errorf("%s = %s, want %s: a call was lost or made twice", key, got, want)
		}
	}
	if n := rdb.LLen(t.Context(), "list").Val(); n != 3 {
		t.Errorf("the command beside the calls was sent %d times, want 3", n)
	}
}

func TestRun_eachCallHasItsOwnReply(t *testing.T) {
	t.Parallel()
	rdb := redistest.NewServer(t).Client(t)
	calls := []*redisscript.Call{{Script: add, Keys: []string{"a"}, Args: []any{1}}, {Script: fail}, {Script: add, Keys: []string{"a"}, Args: []any{1}}}
	err := redisscript.Run(t.Context(), rdb, calls)
	if err == nil || !strings.Contains(err.Error(), "no") || calls[1].Reply.Err() == nil {
		t.Errorf("Run = %v, reply of the failed call %v", err, calls[1].Reply.Err())
	}
	for i, want := range map[int]int64{0: 1, 2: 2} {
		if got, err := calls[i].Reply.Int64(); err != nil || got != want {
			t.Errorf("reply %s = %d, %v; want %d", strconv.Itoa(i), got, err, want)
		}
	}
}

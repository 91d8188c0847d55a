package eventlog_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/eventlog/logtest"
	"parley.chat/shared-contracts/rediskey"
)

func TestLift(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	const watermark = "9000000000000-7" // above Redis's clock
	for name, tt := range map[string]struct {
		p      int
		before []string // entries of the stream
		mark   string
		last   string
		lost   bool
	}{
		"no stream, nothing stored": {0, nil, "0-0", "", false},
		"a new Redis":               {4, nil, watermark, "0-0", true},
		"an older copy":             {1, []string{"5-1", "7-0"}, watermark, "7-0", true},
		"up to date":                {2, []string{"5-1", "7-0"}, "7-0", "7-0", false},
		"further":                   {3, []string{"5-1", "7-0"}, "6-18446744073709551615", "7-0", false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, stream := t.Context(), rediskey.Stream(tt.p)
			for _, id := range tt.before {
				if err := rdb.XAdd(ctx, &redis.XAddArgs{Stream: stream, ID: id, Values: []any{"a", "b"}}).Err(); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // the second call has nothing to do
				last, lost, err := l.Lift(ctx, tt.p, tt.mark)
				if err != nil || last != tt.last || lost != tt.lost {
					t.Fatalf("%s, %t, %v; want %s, %t", last, lost, err, tt.last, tt.lost)
				}
				if tt.lost {
					tt.lost, tt.last = false, watermark
				}
			}
			if n := rdb.XLen(ctx, stream).Val(); n != int64(len(tt.before)) {
				t.Errorf("%d entries, want those of before", n)
			}
			if tt.last != watermark {
				return
			}
			id, err := rdb.XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: []any{"a", "b"}}).Result()
			if err != nil || id != "9000000000000-8" {
				t.Errorf("the next entry is %s, %v", id, err)
			}
		})
	}
}

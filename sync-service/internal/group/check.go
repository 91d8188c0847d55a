package group

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
)

var (
	//go:embed check.lua
	checkSource string

	checkScript = Script(checkSource)
)

// WrongCount describes a stream whose consumer group has a wrong entries-read.
type WrongCount struct {
	Stream string `json:"stream"`
	Read   int64  `json:"read"`
	Right  int64  `json:"right"` // the correct value; Ack sets it
}

// Check returns the streams in acks whose consumer group has a wrong entries-read. It omits streams
// whose entries-read is unknown to Redis. Check changes nothing and ignores the IDs in acks.
func Check(ctx context.Context, rdb redis.UniversalClient, acks []Acks) ([]WrongCount, error) {
	calls := make([]Call, len(acks))
	for i, a := range acks {
		calls[i] = Call{[]string{a.Stream}, []any{rediskey.ConsumerGroup}}
		if a.Mirror != "" {
			calls[i].Keys = append(calls[i].Keys, a.Mirror)
		}
	}
	answers, err := RunAll(ctx, rdb, checkScript, calls)
	if err != nil {
		return nil, fmt.Errorf("check entries-read of the consumer groups: %w", err)
	}
	wrong := []WrongCount{}
	for i, answer := range answers {
		pair, ok := answer.([]any)
		if ok && len(pair) == 0 {
			continue
		}
		if !ok || len(pair) != 2 {
			return nil, fmt.Errorf("check.lua returned %v", answer)
		}
		read, ok1 := pair[0].(int64)
		right, ok2 := pair[1].(int64)
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("check.lua returned %v", answer)
		}
		if read >= 0 && right >= 0 && read != right {
			wrong = append(wrong, WrongCount{acks[i].Stream, read, right})
		}
	}
	return wrong, nil
}

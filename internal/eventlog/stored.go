package eventlog

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

// Stored reads the highest stored seqs and the watermarks from PostgreSQL. Redis must never be
// behind PostgreSQL. If it is, Redis has lost writes: it was restored from an older copy, or it is
// a replica that was promoted too early.
type Stored interface {
	// Seqs returns the highest stored seq of each channel, in the given order. The seq is 0 for a
	// channel without stored events.
	Seqs(ctx context.Context, channels []chat.ChannelID) ([]int64, error)
	// Watermark returns the entry id up to which a partition is stored, or "0-0" if nothing is
	// stored.
	Watermark(ctx context.Context, partition int) (string, error)
}

//go:embed lift.lua
var liftSource string

var liftScript = redis.NewScript(liftSource)

// Lift makes a partition's stream generate ids above the watermark from now on. lost reports
// whether the stream's last id was below the watermark, which means that Redis has lost the entries
// in between or was replaced by a new server.
func (l *Log) Lift(ctx context.Context, partition int, watermark string) (last string, lost bool, err error) {
	if watermark == "0-0" {
		return "", false, nil
	}
	answer, err := liftScript.Run(ctx, l.rdb, []string{rediskey.Stream(partition), rediskey.Stored(partition)}, watermark).StringSlice()
	if err != nil {
		return "", false, fmt.Errorf("compare the stream of partition %d with its watermark: %w", partition, err)
	}
	if len(answer) != 2 {
		return "", false, fmt.Errorf("lift.lua returned %v", answer)
	}
	return answer[1], answer[0] == "1", nil
}

package receiptlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

// Position is a channel's newest seq together with a member's receipt in that channel.
type Position struct {
	Seq     int64
	Seeded  bool    // whether Redis has a counter for the channel; if false, Seq is 0
	Receipt Receipt // the receipt that Redis holds; PostgreSQL may hold a greater one
}

// Positions returns the user's positions in the given channels, in the same order. It reads them in
// one round trip.
func (l *Log) Positions(ctx context.Context, user chat.UserID, channels []chat.ChannelID) ([]Position, error) {
	if len(channels) == 0 {
		return nil, nil
	}
	member := user.String()
	seqs, receipts := make([]*redis.StringCmd, len(channels)), make([]*redis.StringCmd, len(channels))
	_, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, c := range channels {
			partition := l.partition(c)
			seqs[i] = p.HGet(ctx, rediskey.Counter(partition, c), "seq")
			receipts[i] = p.HGet(ctx, rediskey.Cursor(partition, c), member)
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read positions of user %s in %d channels: %w", user, len(channels), err)
	}
	found := make([]Position, len(channels))
	for i, c := range channels {
		if found[i].Seq, err = seqs[i].Int64(); err == nil {
			found[i].Seeded = true
		} else if !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("read head of channel %s: %w", c, err)
		}
		position, err := receipts[i].Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err == nil {
			found[i].Receipt, err = parseReceipt(position)
		}
		if err != nil {
			return nil, fmt.Errorf("read receipt of user %s in channel %s: %w", user, c, err)
		}
	}
	return found, nil
}

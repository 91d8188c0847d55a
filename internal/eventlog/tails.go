package eventlog

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

// Newest returns the newest item of each channel's tail, in the order of channels. It reads them in
// one round trip. The item is nil if the channel has no tail, which means that all its events are
// stored.
func (l *Log) Newest(ctx context.Context, channels []chat.ChannelID) ([]*event.Item, error) {
	newest := make([]*event.Item, len(channels))
	if len(channels) == 0 {
		return newest, nil
	}
	replies := make([]*redis.StringSliceCmd, len(channels))
	_, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, c := range channels {
			replies[i] = p.LRange(ctx, rediskey.Tail(l.Partition(c.UUID), c), -1, -1)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the newest items of %d channels: %w", len(channels), err)
	}
	for i, r := range replies {
		if raw := r.Val(); len(raw) > 0 {
			it, err := event.DecodeItem([]byte(raw[0]))
			if err != nil {
				return nil, fmt.Errorf("read the newest item of channel %s: %w", channels[i], err)
			}
			newest[i] = &it
		}
	}
	return newest, nil
}

package eventlog

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

//go:embed repair.lua
var repairSource string

var repairScript = redis.NewScript(repairSource)

// Repair starts a new epoch in a channel whose writes Redis has lost. found is the head in Redis;
// known is the newest head that this process has seen. The new numbering continues above the seqs
// of both heads and above the seqs that PostgreSQL holds. The new epoch starts with a gap event,
// which contains the range of seqs that may be lost. If another caller has repaired the channel in
// the meantime, Repair returns the head that the other caller created.
func (l *Log) Repair(ctx context.Context, channel chat.ChannelID, found, known Head, floor Floor) (Head, error) {
	stored, err := floor(ctx, channel)
	if err != nil {
		return Head{}, fmt.Errorf("repair channel %s: %w", channel, err)
	}
	id := chat.NewEventID()
	parts := frame.GapParts(channel, id, chat.Now())
	p := l.Partition(channel.UUID)
	pair, err := repairScript.Run(ctx, l.rdb,
		[]string{rediskey.Counter(p, channel), rediskey.Stream(p), rediskey.Tail(p, channel), rediskey.Topic(p, channel), rediskey.Stored(p)},
		string(found.Epoch), max(known.Seq, stored), max(known.Epoch.Number(), found.Epoch.Number(), 0), rand.Text()[:10],
		event.Version, channel.String(), id.String(), chat.UserID{}.String(), chat.ClientID{UUID: id.UUID}.String(),
		parts[0], parts[1], parts[2], parts[3], known.Epoch.Number(),
	).Slice()
	if err != nil {
		return Head{}, fmt.Errorf("repair channel %s: %w", channel, err)
	}
	return headOf(pair)
}

// Lost reports whether Redis has lost a channel's writes, that is, whether found has a lower seq or
// an older epoch than known. The caller must have read found from Redis after it obtained known.
func (found Head) Lost(known Head) bool {
	return found.Seeded() && known.Seeded() && (found.Seq < known.Seq || known.Epoch.NewerThan(found.Epoch))
}

// Resolve returns the head of a channel whose counter in Redis differs from the head that this
// process knows. The result is found or, if Redis has lost writes, the head of a new epoch.
func (l *Log) Resolve(ctx context.Context, channel chat.ChannelID, found, known Head, floor Floor, logger *slog.Logger) (Head, error) {
	if !found.Lost(known) {
		return found, nil
	}
	logger.ErrorContext(ctx, "Redis has lost writes, starting a new epoch", "channel_id", channel,
		"known_seq", known.Seq, "found_seq", found.Seq, "known_epoch", known.Epoch, "found_epoch", found.Epoch)
	return l.Repair(ctx, channel, found, known, floor)
}

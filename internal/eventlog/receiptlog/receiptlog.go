// Package receiptlog manages the members' receipts in Redis. Each channel has a hash with the
// current positions. Each partition has a stream of moves, which sync-service stores in PostgreSQL.
// Only this package and sync-service write these keys.
package receiptlog

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/platform/redisscript"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

//go:embed receipt.lua
var source string

var script = redis.NewScript(source)

// maxNamed is the maximum number of moved members that a publication names. If more members have
// moved, the publication names none of them, and readers read the receipts from Redis.
const maxNamed = 100

// Log moves and reads receipts in Redis. It is safe for concurrent use and holds no state of its
// own.
type Log struct {
	rdb        redis.UniversalClient
	partitions int
}

// New returns a Log for the receipts stored in rdb. partitions is the deployment's number of
// partitions.
func New(rdb redis.UniversalClient, partitions int) *Log {
	return &Log{rdb: rdb, partitions: partitions}
}

// partition returns the partition to which a channel belongs.
func (l *Log) partition(c chat.ChannelID) int { return rediskey.Of(c.UUID, l.partitions) }

// Receipt is a member's receipt in a channel: the highest delivered and the highest read seq. Read
// never exceeds Delivered.
type Receipt struct{ Delivered, Read int64 }

// Max returns a receipt with the greater Delivered and the greater Read of the two receipts.
func (c Receipt) Max(other Receipt) Receipt {
	return Receipt{max(c.Delivered, other.Delivered), max(c.Read, other.Read)}
}

// Move is a request to move a member's receipt to at least the given positions; 0 leaves a position
// unchanged.
type Move struct {
	Channel chat.ChannelID
	User    chat.UserID
	Receipt
	// IfHeld skips the move if Redis does not hold the member's receipt, because PostgreSQL may
	// hold a greater one. The caller then reads the stored receipt and calls Move again with the
	// greater receipt.
	IfHeld bool
}

// Moved is the result of a move.
type Moved struct {
	Receipt      // the receipt after the move; zero if Redis has no counter for the channel
	Changed bool // the receipt moved
	Held    bool // false if IfHeld was set and Redis does not hold the receipt
	Seeded  bool // false if nothing was written because Redis has no counter for the channel; see eventlog.Log.EnsureHead
	Said    bool // false if Redis did not answer; the other fields are then meaningless
}

// Move moves receipts forward and returns the result of each move, in the given order. It sends all
// moves in one pipeline, with one script call per channel. A channel with more than event.MaxMoves
// moves needs several calls. A position beyond the channel's last seq is reduced to that seq. Read
// never exceeds Delivered, so moving Read also moves Delivered. Positions never move back. Move
// appends the changes to the receipts stream and publishes them on the channel's topic as an item
// of event.KindReceipts.
//
// A receipt that Redis does not hold starts at 0, even though PostgreSQL may hold a greater one.
// Readers use the greater receipt. A caller that knows the stored receipt requests positions that
// are not below it (see Move.IfHeld).
//
// After an error, the receipts of some channels may have been moved. A move whose result has Seeded
// set was certainly made. A retry is harmless.
func (l *Log) Move(ctx context.Context, moves []Move) ([]Moved, error) {
	moved := make([]Moved, len(moves))
	var errs []error
	batches := split(moves)
	calls := l.scripts(batches, moves)
	_ = redisscript.Run(ctx, l.rdb, calls) // each call has its own error
	for i, batch := range batches {
		err := calls[i].Reply.Err()
		if err == nil {
			err = batch.settle(calls[i].Reply, moved)
		}
		for _, n := range batch.moves {
			moved[n].Said = err == nil
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("move %d receipts of channel %s: %w", len(batch.moves), batch.channel, err))
		}
	}
	return moved, errors.Join(errs...)
}

// batch holds the moves of one call to the script, as indexes into the slice of all moves. All
// moves of a batch are in the same channel.
type batch struct {
	channel chat.ChannelID
	moves   []int
}

// split splits moves into batches. No batch has more moves than one stream entry may hold.
func split(moves []Move) (batches []batch) {
	batchOf := make(map[chat.ChannelID]int)
	for i, m := range moves {
		n, ok := batchOf[m.Channel]
		if !ok || len(batches[n].moves) == event.MaxMoves {
			n = len(batches)
			batches = append(batches, batch{channel: m.Channel})
			batchOf[m.Channel] = n
		}
		batches[n].moves = append(batches[n].moves, i)
	}
	return batches
}

// scripts builds one script call per batch.
func (l *Log) scripts(batches []batch, moves []Move) []*redisscript.Call {
	calls := make([]*redisscript.Call, len(batches))
	for i, b := range batches {
		p := l.partition(b.channel)
		keys := []string{
			rediskey.Counter(p, b.channel), rediskey.Cursor(p, b.channel), rediskey.Receipts(p), rediskey.Topic(p, b.channel),
		}
		args := make([]any, 0, 4+4*len(b.moves))
		args = append(args, event.Version, b.channel.String(), event.Item{Kind: event.KindReceipts}.Encode(), maxNamed)
		for _, m := range b.moves {
			args = append(args, moves[m].User.String(), moves[m].Delivered, moves[m].Read, moves[m].IfHeld)
		}
		calls[i] = &redisscript.Call{Script: script, Keys: keys, Args: args}
	}
	return calls
}

// settle copies the results of the batch's script call into moved, at the indexes of the batch's
// moves.
func (b batch) settle(reply *redis.Cmd, moved []Moved) error {
	results, err := reply.StringSlice()
	if err != nil || len(results) == 0 {
		return err
	}
	if len(results) != len(b.moves) {
		return fmt.Errorf("%d results", len(results))
	}
	for n, result := range results {
		what, position, _ := strings.Cut(result, " ")
		at, err := parseReceipt(position)
		if err != nil {
			return err
		}
		moved[b.moves[n]] = Moved{Receipt: at, Changed: what == "1", Held: what != "-", Seeded: true}
	}
	return nil
}

// Held returns the receipts that Redis holds for the given members of a channel, or for all members
// if users is empty. PostgreSQL may hold receipts that Redis does not hold, or greater ones.
// Readers use the greater receipt.
func (l *Log) Held(ctx context.Context, c chat.ChannelID, users ...chat.UserID) (map[chat.UserID]Receipt, error) {
	key := rediskey.Cursor(l.partition(c), c)
	receipts := make(map[chat.UserID]Receipt)
	if len(users) == 0 {
		all, err := l.rdb.HGetAll(ctx, key).Result()
		if err != nil {
			return nil, fmt.Errorf("read receipts of channel %s: %w", c, err)
		}
		for user, position := range all {
			id, err := chat.ParseUserID(user)
			if err != nil {
				return nil, fmt.Errorf("read receipts of channel %s: %w", c, err)
			}
			if receipts[id], err = parseReceipt(position); err != nil {
				return nil, fmt.Errorf("read receipts of channel %s: %w", c, err)
			}
		}
		return receipts, nil
	}
	fields := make([]string, len(users))
	for i, u := range users {
		fields[i] = u.String()
	}
	some, err := l.rdb.HMGet(ctx, key, fields...).Result()
	if err != nil {
		return nil, fmt.Errorf("read receipts of channel %s: %w", c, err)
	}
	for i, v := range some {
		position, ok := v.(string)
		if !ok {
			continue
		}
		if receipts[users[i]], err = parseReceipt(position); err != nil {
			return nil, fmt.Errorf("read receipts of channel %s: %w", c, err)
		}
	}
	return receipts, nil
}

// At returns the receipts of the given members, in the same order. It reads them from Redis in one
// round trip. A receipt that Redis does not hold is zero.
func (l *Log) At(ctx context.Context, members []chat.MemberKey) ([]Receipt, error) {
	receipts := make([]Receipt, len(members))
	if len(members) == 0 {
		return receipts, nil
	}
	replies := make([]*redis.StringCmd, len(members))
	_, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, m := range members {
			replies[i] = p.HGet(ctx, rediskey.Cursor(l.partition(m.Channel), m.Channel), m.User.String())
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read %d receipts: %w", len(members), err)
	}
	for i, r := range replies {
		position, err := r.Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err == nil {
			receipts[i], err = parseReceipt(position)
		}
		if err != nil {
			return nil, fmt.Errorf("read receipt of user %s in channel %s: %w", members[i].User, members[i].Channel, err)
		}
	}
	return receipts, nil
}

func parseReceipt(s string) (c Receipt, err error) {
	delivered, read, _ := strings.Cut(s, ":")
	if c.Delivered, err = strconv.ParseInt(delivered, 10, 64); err == nil {
		c.Read, err = strconv.ParseInt(read, 10, 64)
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("receipt %.60q: %w", s, err)
	}
	return c, nil
}

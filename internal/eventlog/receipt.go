package eventlog

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
var receiptSource string

var receiptScript = redis.NewScript(receiptSource)

// maxNamed is how many moved members a publication may name. If more have moved, it names none, and
// readers read the receipts from Redis.
const maxNamed = 100

// Receipt is a member's receipt in a channel: the highest delivered and the highest read seq. Read
// never exceeds Delivered.
type Receipt struct{ Delivered, Read int64 }

// Max returns the greater of two receipts, field by field.
func (c Receipt) Max(other Receipt) Receipt {
	return Receipt{max(c.Delivered, other.Delivered), max(c.Read, other.Read)}
}

// ReceiptMove asks to move a member's receipt to at least the given positions; 0 leaves a position
// unchanged.
type ReceiptMove struct {
	Channel chat.ChannelID
	User    chat.UserID
	Receipt
	// IfHeld makes the move only if Redis already holds the member's receipt. If Redis does not
	// hold it, PostgreSQL may hold a greater one. In that case the caller reads the stored receipt
	// and moves to the greater of the two.
	IfHeld bool
}

// MovedReceipt is the result of a move.
type MovedReceipt struct {
	Receipt      // the receipt after the move; zero if the channel is not seeded
	Changed bool // the receipt moved
	Held    bool // false if IfHeld was set and Redis does not hold the receipt
	Seeded  bool // false if Redis has no counter for the channel, so that nothing was written; see EnsureHead
	Said    bool // false if Redis did not answer; the other fields are then meaningless
}

// MoveReceipts moves receipts forward and returns the result of each move, in the given order. It
// makes one script call per channel, in one pipeline. A position beyond the channel's last seq is
// reduced to that seq. Moving Read also moves Delivered; nothing moves back. It appends the changes
// to the receipts stream and publishes them on the channel's topic as an item of
// event.KindReceipts.
//
// A receipt that Redis does not hold starts at 0, although PostgreSQL may hold a greater one.
// Readers use the greater of the two, and a caller that knows the stored receipt requests at least
// that (see ReceiptMove.IfHeld).
//
// After an error, the receipts of some channels may have been moved. If Seeded is set for a move,
// it was certainly made. A retry is harmless.
func (l *Log) MoveReceipts(ctx context.Context, moves []ReceiptMove) ([]MovedReceipt, error) {
	moved := make([]MovedReceipt, len(moves))
	var errs []error
	batches := receiptCalls(moves)
	calls := l.receiptScripts(batches, moves)
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

// receiptCall is one call to the script. It holds the indexes of moves in one channel.
type receiptCall struct {
	channel chat.ChannelID
	moves   []int
}

// receiptCalls splits moves into calls, none with more moves than a stream entry may hold.
func receiptCalls(moves []ReceiptMove) (calls []receiptCall) {
	callOf := make(map[chat.ChannelID]int)
	for i, m := range moves {
		n, ok := callOf[m.Channel]
		if !ok || len(calls[n].moves) == event.MaxMoves {
			n = len(calls)
			calls = append(calls, receiptCall{channel: m.Channel})
			callOf[m.Channel] = n
		}
		calls[n].moves = append(calls[n].moves, i)
	}
	return calls
}

// receiptScripts builds one script call per batch.
func (l *Log) receiptScripts(batches []receiptCall, moves []ReceiptMove) []*redisscript.Call {
	calls := make([]*redisscript.Call, len(batches))
	for i, call := range batches {
		p := l.Partition(call.channel.UUID)
		keys := []string{
			rediskey.Counter(p, call.channel), rediskey.Cursor(p, call.channel), rediskey.Receipts(p), rediskey.Topic(p, call.channel),
		}
		args := make([]any, 0, 4+4*len(call.moves))
		args = append(args, event.Version, call.channel.String(), event.Item{Kind: event.KindReceipts}.Encode(), maxNamed)
		for _, m := range call.moves {
			args = append(args, moves[m].User.String(), moves[m].Delivered, moves[m].Read, moves[m].IfHeld)
		}
		calls[i] = &redisscript.Call{Script: receiptScript, Keys: keys, Args: args}
	}
	return calls
}

// settle copies the results of a call into moved.
func (call receiptCall) settle(reply *redis.Cmd, moved []MovedReceipt) error {
	results, err := reply.StringSlice()
	if err != nil || len(results) == 0 {
		return err
	}
	if len(results) != len(call.moves) {
		return fmt.Errorf("%d results", len(results))
	}
	for n, result := range results {
		what, position, _ := strings.Cut(result, " ")
		at, err := parseReceipt(position)
		if err != nil {
			return err
		}
		moved[call.moves[n]] = MovedReceipt{Receipt: at, Changed: what == "1", Held: what != "-", Seeded: true}
	}
	return nil
}

// HeldReceipts returns the receipts that Redis holds for the given members of a channel, or for all
// members if users is empty. PostgreSQL may hold receipts for other members, and greater ones;
// readers use the greater receipt.
func (l *Log) HeldReceipts(ctx context.Context, c chat.ChannelID, users ...chat.UserID) (map[chat.UserID]Receipt, error) {
	key := rediskey.Cursor(l.Partition(c.UUID), c)
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

// Member is a user in a channel.
type Member struct {
	Channel chat.ChannelID
	User    chat.UserID
}

// ReceiptsAt returns the receipts that Redis holds, in the order of members, in one round trip. A
// receipt that Redis does not hold is zero.
func (l *Log) ReceiptsAt(ctx context.Context, members []Member) ([]Receipt, error) {
	receipts := make([]Receipt, len(members))
	if len(members) == 0 {
		return receipts, nil
	}
	replies := make([]*redis.StringCmd, len(members))
	_, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, m := range members {
			replies[i] = p.HGet(ctx, rediskey.Cursor(l.Partition(m.Channel.UUID), m.Channel), m.User.String())
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

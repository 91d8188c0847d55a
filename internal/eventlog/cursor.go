package eventlog

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

//go:embed cursor.lua
var cursorSource string

var cursorScript = redis.NewScript(cursorSource)

// maxNamed is how many moved members a publication names. Of more it says only that there are some: who
// wants to know reads the cursors.
const maxNamed = 100

// Cursor is how far a member has come in a channel. Read never passes Delivered.
type Cursor struct{ Delivered, Read int64 }

// Max returns the greater of two cursors, part by part.
func (c Cursor) Max(other Cursor) Cursor {
	return Cursor{max(c.Delivered, other.Delivered), max(c.Read, other.Read)}
}

// CursorMove asks that a member's cursor stand at least there (0: says nothing).
type CursorMove struct {
	Channel chat.ChannelID
	User    chat.UserID
	Cursor
	// IfHeld makes the move only if Redis holds the member's cursor already. Where it does not, PostgreSQL
	// may know more: a caller who does not know that asks, and moves to the greater.
	IfHeld bool
}

// MovedCursor is what became of a move.
type MovedCursor struct {
	Cursor       // as it stands after the move; zero where the channel is not seeded
	Changed bool // the move has moved it
	Held    bool // false: Redis does not hold the cursor, and the move was to be made only if it does
	Seeded  bool // false: Redis has no counter of the channel, so nothing was written; see EnsureHead
	Said    bool // false: Redis has said nothing of the move, and nothing else here counts
}

// MoveCursors moves cursors forward and returns what became of each move, in their order: one script
// call per channel, in one pipeline. A move past the channel's last seq is cut to it; read takes
// delivered along; nothing moves back. What has changed is appended to the receipts stream and
// published on the channel's topic as an item of event.KindReceipts.
//
// A member whom Redis does not hold begins at 0, although PostgreSQL may know more: readers take the
// greater of both, and a caller who knows what is stored asks for no less (see CursorMove.IfHeld).
//
// On an error some channels may have been moved all the same; those that have for sure are Seeded. To try
// again is harmless.
func (l *Log) MoveCursors(ctx context.Context, moves []CursorMove) ([]MovedCursor, error) {
	moved := make([]MovedCursor, len(moves))
	var errs []error
	// What the scripts were not loaded for is sent once more.
	for calls, attempt := cursorCalls(moves), 0; len(calls) > 0; attempt++ {
		var unknown []cursorCall
		for i, reply := range l.moveCursors(ctx, calls, moves) {
			err := reply.Err()
			if redis.HasErrorPrefix(err, "NOSCRIPT") && attempt == 0 {
				unknown = append(unknown, calls[i])
				continue
			}
			if err == nil {
				err = calls[i].settle(reply, moved)
			}
			for _, n := range calls[i].moves {
				moved[n].Said = err == nil
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("move %d cursors of channel %s: %w", len(calls[i].moves), calls[i].channel, err))
			}
		}
		if calls = unknown; len(calls) > 0 {
			if err := loadScript(ctx, l.rdb, cursorScript); err != nil {
				return moved, fmt.Errorf("move cursors: load the script: %w", err)
			}
		}
	}
	return moved, errors.Join(errs...)
}

// cursorCall is one call of the script: moves of one channel, by their index.
type cursorCall struct {
	channel chat.ChannelID
	moves   []int
}

// cursorCalls splits moves into calls, none with more moves than an entry takes.
func cursorCalls(moves []CursorMove) (calls []cursorCall) {
	callOf := make(map[chat.ChannelID]int)
	for i, m := range moves {
		n, ok := callOf[m.Channel]
		if !ok || len(calls[n].moves) == event.MaxMoves {
			n = len(calls)
			calls = append(calls, cursorCall{channel: m.Channel})
			callOf[m.Channel] = n
		}
		calls[n].moves = append(calls[n].moves, i)
	}
	return calls
}

// moveCursors sends calls in one pipeline. Each reply has its own error.
func (l *Log) moveCursors(ctx context.Context, calls []cursorCall, moves []CursorMove) []*redis.Cmd {
	replies := make([]*redis.Cmd, len(calls))
	_, _ = l.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, call := range calls {
			p := l.Partition(call.channel.UUID)
			keys := []string{
				rediskey.Counter(p, call.channel), rediskey.Cursor(p, call.channel), rediskey.Receipts(p), rediskey.Topic(p, call.channel),
			}
			args := make([]any, 0, 4+4*len(call.moves))
			args = append(args, event.Version, call.channel.String(), event.Item{Kind: event.KindReceipts}.Encode(), maxNamed)
			for _, m := range call.moves {
				args = append(args, moves[m].User.String(), moves[m].Delivered, moves[m].Read, moves[m].IfHeld)
			}
			replies[i] = cursorScript.EvalSha(ctx, pipe, keys, args...)
		}
		return nil
	})
	return replies
}

// settle puts the results of a call where they belong.
func (call cursorCall) settle(reply *redis.Cmd, moved []MovedCursor) error {
	results, err := reply.StringSlice()
	if err != nil || len(results) == 0 {
		return err
	}
	if len(results) != len(call.moves) {
		return fmt.Errorf("%d results", len(results))
	}
	for n, result := range results {
		what, position, _ := strings.Cut(result, " ")
		at, err := parseCursor(position)
		if err != nil {
			return err
		}
		moved[call.moves[n]] = MovedCursor{Cursor: at, Changed: what == "1", Held: what != "-", Seeded: true}
	}
	return nil
}

// Cursors returns what Redis holds of the cursors of a channel's members; all of them when users is
// empty. PostgreSQL may hold more of others, and more of these: readers take the greater.
func (l *Log) Cursors(ctx context.Context, c chat.ChannelID, users ...chat.UserID) (map[chat.UserID]Cursor, error) {
	key := rediskey.Cursor(l.Partition(c.UUID), c)
	cursors := make(map[chat.UserID]Cursor)
	if len(users) == 0 {
		all, err := l.rdb.HGetAll(ctx, key).Result()
		if err != nil {
			return nil, fmt.Errorf("read cursors of channel %s: %w", c, err)
		}
		for user, position := range all {
			id, err := chat.ParseUserID(user)
			if err != nil {
				return nil, fmt.Errorf("read cursors of channel %s: %w", c, err)
			}
			if cursors[id], err = parseCursor(position); err != nil {
				return nil, fmt.Errorf("read cursors of channel %s: %w", c, err)
			}
		}
		return cursors, nil
	}
	fields := make([]string, len(users))
	for i, u := range users {
		fields[i] = u.String()
	}
	some, err := l.rdb.HMGet(ctx, key, fields...).Result()
	if err != nil {
		return nil, fmt.Errorf("read cursors of channel %s: %w", c, err)
	}
	for i, v := range some {
		position, ok := v.(string)
		if !ok {
			continue
		}
		if cursors[users[i]], err = parseCursor(position); err != nil {
			return nil, fmt.Errorf("read cursors of channel %s: %w", c, err)
		}
	}
	return cursors, nil
}

// Member is a user in a channel.
type Member struct {
	Channel chat.ChannelID
	User    chat.UserID
}

// CursorsAt returns what Redis holds of members' cursors, in their order, in one round trip; zero where it
// holds none.
func (l *Log) CursorsAt(ctx context.Context, members []Member) ([]Cursor, error) {
	cursors := make([]Cursor, len(members))
	if len(members) == 0 {
		return cursors, nil
	}
	replies := make([]*redis.StringCmd, len(members))
	_, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, m := range members {
			replies[i] = p.HGet(ctx, rediskey.Cursor(l.Partition(m.Channel.UUID), m.Channel), m.User.String())
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read %d cursors: %w", len(members), err)
	}
	for i, r := range replies {
		position, err := r.Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err == nil {
			cursors[i], err = parseCursor(position)
		}
		if err != nil {
			return nil, fmt.Errorf("read cursor of user %s in channel %s: %w", members[i].User, members[i].Channel, err)
		}
	}
	return cursors, nil
}

func parseCursor(s string) (c Cursor, err error) {
	delivered, read, _ := strings.Cut(s, ":")
	if c.Delivered, err = strconv.ParseInt(delivered, 10, 64); err == nil {
		c.Read, err = strconv.ParseInt(read, 10, 64)
	}
	if err != nil {
		return Cursor{}, fmt.Errorf("cursor %.60q: %w", s, err)
	}
	return c, nil
}

// loadScript puts a script into every server that may run it.
func loadScript(ctx context.Context, rdb redis.UniversalClient, script *redis.Script) error {
	load := func(ctx context.Context, c *redis.Client) error { return script.Load(ctx, c).Err() }
	if c, ok := rdb.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, load)
	}
	return script.Load(ctx, rdb).Err()
}

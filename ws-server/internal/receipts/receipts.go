// Package receipts handles receipts: the seqs up to which each member has received and read a
// channel's messages. It consists of three parts, each with one goroutine:
//
//   - The writer collects the receipts that clients report and writes them to Redis.
//   - The fan-out delivers the receipts that any gateway has published to the subscriptions on this
//     gateway.
//   - The counter replaces the fan-out in large channels. It sends the sender of the newest message
//     the number of members who have received and read that message.
//
// The package does not deal with WebSockets. It reaches connections through the hub and through the
// functions in Config.
package receipts

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
	"parley.chat/ws-server/internal/store"
)

const (
	roundInterval      = 20 * time.Millisecond // minimum interval between two batches, so that receipts share round trips
	storeRetryInterval = 5 * time.Second       // time after a failed query during which PostgreSQL is not queried
)

// Log holds the receipts in Redis.
type Log interface {
	Move(context.Context, []receiptlog.Move) ([]receiptlog.Moved, error)
	Held(context.Context, chat.ChannelID, ...chat.UserID) (map[chat.UserID]receiptlog.Receipt, error)
}

// Store reads from PostgreSQL.
type Store interface {
	ReceiptsOf(context.Context, []chat.MemberKey) ([]receiptlog.Receipt, error)
	Receipts(context.Context, chat.ChannelID) (map[chat.UserID]receiptlog.Receipt, error)
	CountMembers(ctx context.Context, channels []chat.ChannelID, limit int) ([]int, error)
	NewestMessage(ctx context.Context, channel chat.ChannelID, upTo int64) (store.Message, error)
}

// Config holds the dependencies of a Receipts. All fields are required unless noted otherwise. The
// functions must not block.
type Config struct {
	Log    Log
	Store  Store
	Hub    *hub.Hub
	Logger *slog.Logger

	// Refuses reports whether the log currently refuses appends to a channel. Receipts are written
	// once the log accepts appends again. If nil, the log refuses nothing.
	Refuses func(chat.ChannelID) bool
	// SeedChannel starts a background task that creates a channel's counter in Redis.
	SeedChannel func(chat.ChannelID)
	// BlockedWith returns the users connected to this gateway who have blocked a user or are
	// blocked by that user. They must not see that user's receipts.
	BlockedWith func(chat.UserID) map[chat.UserID]struct{}
	// Subscribed reports whether a connection of the user is subscribed to the channel through this
	// gateway.
	Subscribed func(chat.UserID, chat.ChannelID) bool
	// SendTo sends an ephemeral frame to those connections of the user that are subscribed to the
	// channel.
	SendTo func(chat.UserID, chat.ChannelID, frame.Server)

	Moved   func() // called for each receipt that moved forward
	Dropped func() // called for each receipt that was dropped because too many receipts were pending
}

// Receipts writes, delivers and counts receipts. It is safe for concurrent use.
type Receipts struct {
	cfg     Config
	writer  *writer
	fanout  *fanout
	counter *counter
}

// New returns a Receipts. It performs no I/O and starts no goroutine.
func New(cfg Config) *Receipts {
	if cfg.Refuses == nil {
		cfg.Refuses = func(chat.ChannelID) bool { return false }
	}
	r := &Receipts{cfg: cfg}
	r.writer = newWriter(&r.cfg)
	r.counter = newCounter(&r.cfg)
	r.fanout = newFanout(&r.cfg, r.counter)
	return r
}

// Run writes, delivers and counts receipts until ctx is done. Receipts that are still pending are
// left to Drain.
func (r *Receipts) Run(ctx context.Context) {
	var parts sync.WaitGroup
	parts.Go(func() { r.writer.run(ctx) })
	parts.Go(func() { r.fanout.run(ctx) })
	parts.Go(func() { r.counter.run(ctx) })
	parts.Wait()
}

// Drain tries once to write each pending receipt. Call it only after Run has returned. Move must
// not be called during or after Drain.
func (r *Receipts) Drain(ctx context.Context) { r.writer.drain(ctx) }

// Move raises a member's receipt to wanted, unless the receipt is already at wanted or higher. It
// does not wait for the result.
func (r *Receipts) Move(member chat.MemberKey, wanted receiptlog.Receipt) {
	r.writer.move(member, wanted)
}

// Published handles the receipts that a gateway has published to a channel. It does not block.
func (r *Receipts) Published(id chat.ChannelID, published []byte) {
	moves, err := event.DecodeMoves(string(published))
	if err != nil {
		r.cfg.Logger.Warn("malformed receipts received", "channel_id", id, "err", err)
		return
	}
	r.fanout.add(id, moves)
}

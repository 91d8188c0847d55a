package gateway

import (
	"context"

	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/receipts"
	"parley.chat/ws-server/internal/store"
)

func (g *Gateway) newReceipts() *receipts.Receipts {
	cfg := receipts.Config{
		Log: g.cfg.Receipts, Store: g.cfg.Store, Hub: g.cfg.Feed.Hub, Logger: g.cfg.Logger,
		SeedChannel: g.seedChannel, BlockedWith: g.BlockedWith, Subscribed: g.isSubscribed, SendTo: g.sendEphemeral,
		Moved: g.cfg.Metrics.cursorMoves.Inc, Dropped: g.cfg.Metrics.cursorsDropped.Inc,
	}
	if refuses := g.cfg.Refuses; refuses != nil {
		cfg.Refuses = func(id chat.ChannelID) bool { return refuses(g.cfg.Log.Partition(id.UUID)) }
	}
	return receipts.New(cfg)
}

// Receipts handles published changes to the receipts in a channel. The feed calls it; it does not
// block.
func (g *Gateway) Receipts(id chat.ChannelID, published []byte) { g.receipts.Published(id, published) }

// handleReceipt handles a delivered or read frame. It requires no subscription: a client may mark
// messages as read in channels that it is not subscribed to.
func (c *client) handleReceipt(f *frame.Client) error {
	if err := c.access.Admit(*f.ChannelID); err != nil {
		return err
	}
	wanted := receiptlog.Receipt{Delivered: *f.Seq}
	if f.Type == frame.Read {
		wanted.Read = *f.Seq
	}
	c.g.receipts.Move(chat.MemberKey{Channel: *f.ChannelID, User: c.user}, wanted)
	return nil
}

// seedChannel starts a background task that creates a channel's counter in Redis.
func (g *Gateway) seedChannel(id chat.ChannelID) {
	g.background.run(func() {
		ctx, cancel := context.WithTimeout(g.ctx, requestTimeout)
		defer cancel()
		if _, err := g.cfg.Log.EnsureHead(ctx, id, g.cfg.Store.MaxSeq); err != nil && g.ctx.Err() == nil {
			g.cfg.Logger.Warn("failed to create channel counter", "channel_id", id, "err", err)
		}
	})
}

// raiseToRedis updates the receipts in list, which were read from PostgreSQL. If a position in
// Redis is higher, it replaces the position in list.
func (c *client) raiseToRedis(ctx context.Context, list []store.Membership) error {
	members := make([]chat.MemberKey, len(list))
	for i, m := range list {
		members[i] = chat.MemberKey{Channel: m.ChannelID, User: c.user}
	}
	held, err := c.g.sharedReads.cursors.AskAll(ctx, members)
	if err != nil {
		return apierr.Wrap(err, apierr.Unavailable, "The event log is not available. Please try again.")
	}
	for i := range list {
		m := &list[i]
		m.LastDeliveredSeq, m.LastReadSeq = max(m.LastDeliveredSeq, held[i].Delivered), max(m.LastReadSeq, held[i].Read)
	}
	return nil
}

// Package seen remembers how far channels had come when this process last appended to them, so that an
// append to a Redis that has lost its newest writes is noticed rather than given a seq for the second time.
// It is what the hub is to a gateway. It is safe for concurrent use and starts no goroutines.
package seen

import (
	"context"
	"log/slog"
	"sync"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/chat"
)

// most bounds the memory: beyond it some channel is forgotten, which only means that less is noticed.
const most = 10_000

// Heads remembers.
type Heads struct {
	log    *eventlog.Log
	floor  eventlog.Floor
	logger *slog.Logger

	mu    sync.Mutex
	heads map[chat.ChannelID]eventlog.Head
}

// New returns a Heads that has seen nothing. floor tells what PostgreSQL holds of a channel.
func New(log *eventlog.Log, floor eventlog.Floor, logger *slog.Logger) *Heads {
	return &Heads{log: log, floor: floor, logger: logger, heads: make(map[chat.ChannelID]eventlog.Head)}
}

// Known returns what was seen of a channel, a zero Head for nothing.
func (h *Heads) Known(channel chat.ChannelID) eventlog.Head {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.heads[channel]
}

// Note takes in where an append has come to.
func (h *Heads) Note(channel chat.ChannelID, ack eventlog.Ack) {
	if !ack.Duplicate {
		h.put(channel, eventlog.Head{Seq: ack.Seq, Epoch: ack.Epoch})
	}
}

func (h *Heads) put(channel chat.ChannelID, head eventlog.Head) {
	if !head.Seeded() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	old, known := h.heads[channel]
	if known && (old.Epoch.NewerThan(head.Epoch) || old.Epoch == head.Epoch && old.Seq >= head.Seq) {
		return
	}
	if !known && len(h.heads) >= most {
		for some := range h.heads {
			delete(h.heads, some)
			break
		}
	}
	h.heads[channel] = head
}

// Diverged settles an append that Redis has refused because what it has is not what was seen: it takes
// over a newer epoch, or repairs a channel in which Redis has lost writes.
func (h *Heads) Diverged(ctx context.Context, channel chat.ChannelID, found eventlog.Head) error {
	known := h.Known(channel)
	head := found
	if found.Lost(known) {
		h.logger.ErrorContext(ctx, "Redis has lost writes, a new epoch begins", "channel_id", channel,
			"known_seq", known.Seq, "found_seq", found.Seq, "known_epoch", known.Epoch, "found_epoch", found.Epoch)
		var err error
		if head, err = h.log.Repair(ctx, channel, found, known, h.floor); err != nil {
			return err
		}
	}
	h.put(channel, head)
	return nil
}

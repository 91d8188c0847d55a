// Package seen remembers the last seq and epoch of each channel that this process has appended to.
// An append uses them to detect that Redis has lost its newest writes, so that no seq is assigned
// twice. Only chat-service uses this package; in a gateway, the hub remembers the last seq and
// epoch. The package is safe for concurrent use and starts no goroutines.
package seen

import (
	"context"
	"log/slog"
	"sync"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/appender"
	"parley.chat/shared-contracts/chat"
)

// maxHeads limits the number of remembered channels. When the limit is exceeded, an arbitrary
// channel is forgotten. If Redis loses writes in that channel, the loss may go unnoticed.
const maxHeads = 10_000

// Heads remembers the heads of channels.
type Heads struct {
	log    *eventlog.Log
	floor  eventlog.Floor
	logger *slog.Logger

	mu    sync.Mutex
	heads map[chat.ChannelID]eventlog.Head
}

// New returns an empty Heads. floor returns the highest seq of a channel in PostgreSQL.
func New(log *eventlog.Log, floor eventlog.Floor, logger *slog.Logger) *Heads {
	return &Heads{log: log, floor: floor, logger: logger, heads: make(map[chat.ChannelID]eventlog.Head)}
}

// Known returns the remembered head (last seq and epoch) of a channel, or a zero Head.
func (h *Heads) Known(channel chat.ChannelID) eventlog.Head {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.heads[channel]
}

// Note records the head after an append.
func (h *Heads) Note(channel chat.ChannelID, ack appender.Ack) {
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
	if !known && len(h.heads) >= maxHeads {
		for id := range h.heads {
			delete(h.heads, id)
			break
		}
	}
	h.heads[channel] = head
}

// Diverged handles an append that Redis refused because the channel's head in Redis differs from
// the remembered one. If Redis has a newer epoch, Diverged adopts it. If Redis has lost writes, it
// repairs the channel.
func (h *Heads) Diverged(ctx context.Context, channel chat.ChannelID, found eventlog.Head) error {
	known := h.Known(channel)
	head, err := h.log.Resolve(ctx, channel, found, known, h.floor, h.logger)
	if err != nil {
		return err
	}
	h.put(channel, head)
	return nil
}

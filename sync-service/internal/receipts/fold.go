package receipts

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/store"
)

// member identifies a user in a channel.
type member struct {
	channel chat.ChannelID
	user    chat.UserID
}

// fold accumulates the receipts of several entries, keeping the maximum per member.
type fold struct {
	partitions int // number of partitions of the deployment
	receipts   map[member]store.Receipt
	done       map[int][]string // ids of the entries to acknowledge once the receipts are stored, by partition
	channels   map[int]map[chat.ChannelID]struct{}
	dead       []deadEntry
	read       int // number of receipts before folding
	newer      int // entries in a newer format, left pending for an upgraded instance
	vanished   int // pending entries that are no longer in the stream
}

// deadEntry is an entry to move to the dead-letter stream.
type deadEntry struct {
	partition  int
	id, reason string
}

func newFold(partitions int) *fold {
	return &fold{
		partitions: partitions, receipts: map[member]store.Receipt{}, done: map[int][]string{},
		channels: map[int]map[chat.ChannelID]struct{}{},
	}
}

// add folds the receipts of an entry into f. Entries may be added in any order and more than once.
func (f *fold) add(partition int, m redis.XMessage) {
	if m.Values == nil {
		f.vanished++
		f.done[partition] = append(f.done[partition], m.ID)
		return
	}
	r, err := event.DecodeReceipts(m.Values)
	if errors.Is(err, event.ErrNewer) {
		f.newer++
		return
	}
	if err != nil {
		f.dead = append(f.dead, deadEntry{partition, m.ID, "cannot be decoded: " + err.Error()})
		return
	}
	if p := rediskey.Of(r.Channel.UUID, f.partitions); p != partition {
		f.dead = append(f.dead, deadEntry{partition, m.ID, fmt.Sprintf("belongs to partition %d", p)})
		return
	}
	for _, c := range store.ReceiptsOf(r) {
		f.raise(c)
	}
	f.read += len(r.Moves)
	f.done[partition] = append(f.done[partition], m.ID)
	if f.channels[partition] == nil {
		f.channels[partition] = map[chat.ChannelID]struct{}{}
	}
	f.channels[partition][r.Channel] = struct{}{}
}

func (f *fold) raise(c store.Receipt) {
	key := member{c.Channel, c.User}
	old := f.receipts[key]
	c.Delivered, c.Read = max(c.Delivered, old.Delivered), max(c.Read, old.Read)
	f.receipts[key] = c
}

// list returns the folded receipts, one per member.
func (f *fold) list() []store.Receipt { return slices.Collect(maps.Values(f.receipts)) }

// empty reports whether there is nothing to store, acknowledge or move to the dead-letter stream.
func (f *fold) empty() bool { return len(f.done) == 0 && len(f.dead) == 0 }

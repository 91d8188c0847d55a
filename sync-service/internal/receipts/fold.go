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

// member is a user in a channel.
type member struct {
	channel chat.ChannelID
	user    chat.UserID
}

// fold is what some entries say: how far each member has come at most.
type fold struct {
	partitions int // of the deployment
	cursors    map[member]store.Cursor
	done       map[int][]string // by partition: the entries that are acknowledged once the cursors are stored
	channels   map[int]map[chat.ChannelID]struct{}
	dead       []letter
	moves      int // before they were folded
	newer      int // entries left pending: who is upgraded will store them
	vanished   int // entries that were pending and are not in the stream
}

// letter is an entry that cannot be read.
type letter struct {
	partition  int
	id, reason string
}

func newFold(partitions int) *fold {
	return &fold{
		partitions: partitions, cursors: map[member]store.Cursor{}, done: map[int][]string{},
		channels: map[int]map[chat.ChannelID]struct{}{},
	}
}

// add takes an entry in. The order does not matter, nor how often an entry comes.
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
		f.dead = append(f.dead, letter{partition, m.ID, "cannot be decoded: " + err.Error()})
		return
	}
	if p := rediskey.Of(r.Channel.UUID, f.partitions); p != partition {
		f.dead = append(f.dead, letter{partition, m.ID, fmt.Sprintf("belongs to partition %d", p)})
		return
	}
	for _, c := range store.CursorsOf(r) {
		f.raise(c)
	}
	f.moves += len(r.Moves)
	f.done[partition] = append(f.done[partition], m.ID)
	if f.channels[partition] == nil {
		f.channels[partition] = map[chat.ChannelID]struct{}{}
	}
	f.channels[partition][r.Channel] = struct{}{}
}

func (f *fold) raise(c store.Cursor) {
	key := member{c.Channel, c.User}
	old := f.cursors[key]
	c.Delivered, c.Read = max(c.Delivered, old.Delivered), max(c.Read, old.Read)
	f.cursors[key] = c
}

// list returns the folded cursors, each member once.
func (f *fold) list() []store.Cursor { return slices.Collect(maps.Values(f.cursors)) }

// empty reports whether nothing was taken in that has to be written somewhere.
func (f *fold) empty() bool { return len(f.done) == 0 && len(f.dead) == 0 }

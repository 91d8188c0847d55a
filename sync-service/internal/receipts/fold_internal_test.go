package receipts

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/store"
)

func message(id int, r event.Receipts) redis.XMessage {
	m := redis.XMessage{ID: fmt.Sprint(id, "-0"), Values: map[string]any{}}
	fields := r.Fields()
	for i := 0; i < len(fields); i += 2 {
		m.Values[fields[i].(string)] = fmt.Sprint(fields[i+1])
	}
	return m
}

// TestFold_maximum checks that folding yields each member's greatest delivered and read positions,
// regardless of the order and repetition of entries.
func TestFold_maximum(t *testing.T) {
	t.Parallel()
	const partitions = 3
	for range 200 {
		want := map[member]store.Receipt{}
		var entries []redis.XMessage
		partitionOf := map[string]int{}
		channels, users := []chat.ChannelID{chat.NewChannelID(), chat.NewChannelID()}, []chat.UserID{chat.NewUserID(), chat.NewUserID()}
		for i := range 1 + rand.IntN(20) {
			r := event.Receipts{Channel: channels[rand.IntN(2)]}
			for range 1 + rand.IntN(3) {
				delivered := rand.Int64N(50)
				mv := event.Receipt{User: users[rand.IntN(2)], Delivered: delivered, Read: rand.Int64N(delivered + 1)}
				r.Moves = append(r.Moves, mv)
				key := member{r.Channel, mv.User}
				w := want[key]
				want[key] = store.Receipt{
					Channel: r.Channel, User: mv.User, Delivered: max(w.Delivered, mv.Delivered), Read: max(w.Read, mv.Read),
				}
			}
			m := message(i+1, r)
			partitionOf[m.ID] = rediskey.Of(r.Channel.UUID, partitions)
			for range 1 + rand.IntN(3) {
				entries = append(entries, m)
			}
		}
		rand.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		f := newFold(partitions)
		for _, m := range entries {
			f.add(partitionOf[m.ID], m)
		}
		if !maps.Equal(f.receipts, want) || len(f.dead) > 0 {
			t.Fatalf("folded to %v, dead %v; want %v", f.receipts, f.dead, want)
		}
	}
}

func TestFold_entriesThatAreNotStored(t *testing.T) {
	t.Parallel()
	good := event.Receipts{Channel: chat.NewChannelID(), Moves: []event.Receipt{{User: chat.NewUserID(), Delivered: 2, Read: 1}}}
	p := rediskey.Of(good.Channel.UUID, 2)
	f := newFold(2)
	newer := message(1, good)
	newer.Values["v"] = fmt.Sprint(event.Version + 1)
	f.add(p, newer)
	f.add(p, redis.XMessage{ID: "2-0", Values: map[string]any{"what": "ever"}})
	f.add(1-p, message(3, good))
	f.add(p, redis.XMessage{ID: "4-0"})
	f.add(p, message(5, good))
	if f.newer != 1 || f.vanished != 1 || len(f.dead) != 2 || len(f.receipts) != 1 || fmt.Sprint(f.done[p]) != "[4-0 5-0]" || len(f.done[1-p]) != 0 {
		t.Errorf("%+v", f)
	}
}

package eventlog

import (
	"context"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

// seededAt returns a channel whose last seq is seq.
func seededAt(t testing.TB, l *Log, seq int64) chat.ChannelID {
	t.Helper()
	ch := chat.NewChannelID()
	if _, err := l.EnsureHead(t.Context(), ch, func(context.Context, chat.ChannelID) (int64, error) { return seq, nil }); err != nil {
		t.Fatal(err)
	}
	return ch
}

func move(ch chat.ChannelID, u chat.UserID, delivered, read int64) ReceiptMove {
	return ReceiptMove{Channel: ch, User: u, Receipt: Receipt{delivered, read}}
}

func mustMove(t testing.TB, l *Log, moves ...ReceiptMove) []MovedReceipt {
	t.Helper()
	moved, err := l.MoveReceipts(t.Context(), moves)
	if err != nil || len(moved) != len(moves) {
		t.Fatalf("%d results of %d moves, %v", len(moved), len(moves), err)
	}
	return moved
}

// receiptsOf returns a channel's entries in the receipts stream.
func receiptsOf(t testing.TB, l *Log, ch chat.ChannelID) (all []event.Receipts) {
	t.Helper()
	raw, err := l.rdb.XRange(t.Context(), rediskey.Receipts(l.Partition(ch.UUID)), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range raw {
		r, err := event.DecodeReceipts(m.Values)
		if err != nil {
			t.Fatalf("entry %s: %v", m.ID, err)
		}
		if r.Channel == ch {
			all = append(all, r)
		}
	}
	return all
}

func TestMoveReceipts_rules(t *testing.T) {
	t.Parallel()
	l, _, _ := newLog(t)
	for _, tt := range []struct {
		name       string
		from, to   Receipt
		want       Receipt
		wantChange bool
	}{
		{"delivered", Receipt{}, Receipt{5, 0}, Receipt{5, 0}, true},
		{"read takes delivered along", Receipt{}, Receipt{0, 5}, Receipt{5, 5}, true},
		{"read up to delivered", Receipt{7, 2}, Receipt{0, 5}, Receipt{7, 5}, true},
		{"never back", Receipt{7, 5}, Receipt{6, 4}, Receipt{7, 5}, false},
		{"each part on its own", Receipt{7, 5}, Receipt{9, 1}, Receipt{9, 5}, true},
		{"cut to the last seq", Receipt{7, 5}, Receipt{11, 12}, Receipt{10, 10}, true},
		{"cut, however far", Receipt{}, Receipt{math.MaxInt64, 0}, Receipt{10, 0}, true},
		{"cut, and there already", Receipt{10, 10}, Receipt{11, 11}, Receipt{10, 10}, false},
		{"nothing said", Receipt{}, Receipt{}, Receipt{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ch, ann := seededAt(t, l, 10), chat.NewUserID()
			mustMove(t, l, move(ch, ann, tt.from.Delivered, tt.from.Read))
			before := receiptsOf(t, l, ch)
			want := MovedReceipt{Receipt: tt.want, Changed: tt.wantChange, Held: true, Seeded: true, Said: true}
			if got := mustMove(t, l, move(ch, ann, tt.to.Delivered, tt.to.Read))[0]; got != want {
				t.Errorf("moved to %+v, want %+v", got, want)
			}
			at, err := l.HeldReceipts(t.Context(), ch, ann)
			if err != nil || at[ann] != tt.want {
				t.Errorf("the receipt is %+v, %v", at, err)
			}
			told := receiptsOf(t, l, ch)[len(before):]
			if tt.wantChange {
				wantTold := []event.Receipts{{Channel: ch, Moves: []event.Receipt{{User: ann, Delivered: tt.want.Delivered, Read: tt.want.Read}}}}
				if !reflect.DeepEqual(told, wantTold) {
					t.Errorf("the stream has %+v, want %+v", told, wantTold)
				}
			} else if len(told) > 0 {
				t.Errorf("nothing changed, but the stream has %+v", told)
			}
		})
	}
}

// The result must be the greatest position, no matter in which order, how often and from how many
// goroutines moves arrive. No reader may ever see a position move back, and the maximum in the
// stream must equal the result.
func TestMoveReceipts_anyOrderGivesTheMaximum(t *testing.T) {
	t.Parallel()
	l, _, _ := newLog(t)
	const last = 1000
	channels := []chat.ChannelID{seededAt(t, l, last), seededAt(t, l, last), seededAt(t, l, last)}
	users := []chat.UserID{chat.NewUserID(), chat.NewUserID(), chat.NewUserID(), chat.NewUserID()}
	type member struct {
		ch chat.ChannelID
		u  chat.UserID
	}
	want := make(map[member]Receipt)
	var moves []ReceiptMove
	for range 600 {
		m := move(channels[rand.IntN(len(channels))], users[rand.IntN(len(users))], rand.Int64N(2*last), rand.Int64N(last))
		who, cut := member{m.Channel, m.User}, Receipt{min(m.Delivered, last), min(m.Read, last)}
		cut.Delivered = max(cut.Delivered, cut.Read)
		want[who] = want[who].Max(cut)
		moves = append(moves, m)
	}
	var senders sync.WaitGroup
	for range 4 {
		mine := append([]ReceiptMove(nil), moves...)
		rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		senders.Go(func() {
			seen := make(map[member]Receipt)
			for len(mine) > 0 {
				page := mine[:min(1+rand.IntN(40), len(mine))]
				mine = mine[len(page):]
				moved, err := l.MoveReceipts(context.Background(), page)
				if err != nil {
					t.Error(err)
					return
				}
				for i, m := range page {
					who := member{m.Channel, m.User}
					if at := moved[i].Receipt; at.Max(seen[who]) != at || at.Read > at.Delivered || at.Delivered > last {
						t.Errorf("%+v came after %+v", at, seen[who])
					}
					seen[who] = moved[i].Receipt
				}
			}
		})
	}
	senders.Wait()
	for _, ch := range channels {
		at, err := l.HeldReceipts(t.Context(), ch)
		if err != nil {
			t.Fatal(err)
		}
		told := make(map[chat.UserID]Receipt)
		for _, r := range receiptsOf(t, l, ch) {
			for _, m := range r.Moves {
				now := Receipt{m.Delivered, m.Read}
				if now.Max(told[m.User]) != now || now == told[m.User] {
					t.Errorf("the stream has %+v after %+v", now, told[m.User])
				}
				told[m.User] = now
			}
		}
		for _, u := range users {
			if w := want[member{ch, u}]; at[u] != w || told[u] != w {
				t.Errorf("the receipt is %+v, the stream has %+v, want %+v", at[u], told[u], w)
			}
		}
	}
	mine, err := l.Positions(t.Context(), users[0], channels)
	if err != nil {
		t.Fatal(err)
	}
	for i, ch := range channels {
		if mine[i].Receipt != want[member{ch, users[0]}] {
			t.Errorf("Positions: %+v", mine[i])
		}
	}
}

// Nothing is written for a channel without a counter, and the other channels are not affected.
func TestMoveReceipts_unseeded(t *testing.T) {
	t.Parallel()
	l, rdb, _ := newLog(t)
	good, bare, ann := seededAt(t, l, 3), chat.NewChannelID(), chat.NewUserID()
	moved := mustMove(t, l, move(bare, ann, 2, 2), move(good, ann, 2, 2))
	if moved[0] != (MovedReceipt{Said: true}) || moved[1] != (MovedReceipt{Receipt{2, 2}, true, true, true, true}) {
		t.Errorf("moved %+v", moved)
	}
	p := l.Partition(bare.UUID)
	if n := rdb.Exists(t.Context(), rediskey.Cursor(p, bare), rediskey.Counter(p, bare)).Val(); n != 0 {
		t.Error("something was written for a channel without a counter")
	}
	if told := receiptsOf(t, l, bare); len(told) > 0 {
		t.Errorf("the stream has %+v", told)
	}
	none, err := l.MoveReceipts(t.Context(), nil)
	if err != nil || len(none) != 0 {
		t.Errorf("no moves: %v, %v", none, err)
	}
}

// A publication names up to 100 members; if more have moved, it names none. The stream gets all
// moves, at most 500 per entry.
func TestMoveReceipts_many(t *testing.T) {
	t.Parallel()
	l, _, _ := newLog(t)
	for _, tt := range []struct{ members, named, entries, published int }{
		{100, 100, 1, 1}, {101, 0, 1, 1}, {event.MaxMoves, 0, 1, 1}, {event.MaxMoves + 1, 1, 2, 2}, {1203, 0, 3, 3},
	} {
		ch := seededAt(t, l, 10)
		e := newRecorder()
		s := l.NewSubscriber(l.Partition(ch.UUID), e, quiet)
		topic := rediskey.Topic(l.Partition(ch.UUID), ch)
		s.Subscribe(topic)
		stop := startSubscriber(t, s)
		e.want(t, "+"+topic)
		moves := make([]ReceiptMove, tt.members)
		for i := range moves {
			moves[i] = move(ch, chat.NewUserID(), 10, 9)
		}
		mustMove(t, l, moves...)
		named := 0
		for range tt.published {
			text, ok := strings.CutPrefix(e.next(t), topic+"=")
			it, err := event.DecodeItem([]byte(text))
			if !ok || err != nil || !it.Ephemeral() || it.Kind != event.KindReceipts {
				t.Fatalf("published %q: %v", text, err)
			}
			moves, err := event.DecodeMoves(string(it.Frame))
			if err != nil {
				t.Fatal(err)
			}
			named += len(moves)
		}
		stop()
		told := 0
		entries := receiptsOf(t, l, ch)
		for _, r := range entries {
			told += len(r.Moves)
		}
		if named != tt.named || len(entries) != tt.entries || told != tt.members {
			t.Errorf("%d members: %d named, %d entries with %d moves; want %d, %d, all", tt.members, named, len(entries), told, tt.named, tt.entries)
		}
	}
}

// Several moves of one user in a call result in one receipt with the final position.
func TestMoveReceipts_oneUserTwice(t *testing.T) {
	t.Parallel()
	l, _, _ := newLog(t)
	ch, ann := seededAt(t, l, 10), chat.NewUserID()
	moved := mustMove(t, l, move(ch, ann, 3, 0), move(ch, ann, 0, 5), move(ch, ann, 4, 4))
	want := []MovedReceipt{{Receipt{3, 0}, true, true, true, true}, {Receipt{5, 5}, true, true, true, true}, {Receipt{5, 5}, false, true, true, true}}
	if !reflect.DeepEqual(moved, want) {
		t.Errorf("moved %+v, want %+v", moved, want)
	}
	if told := receiptsOf(t, l, ch); len(told) != 1 || len(told[0].Moves) != 1 || told[0].Moves[0].Delivered != 5 {
		t.Errorf("the stream has %+v", told)
	}
}

// If Redis does not hold a member's receipt, PostgreSQL may hold a greater one than the move. So a
// move can be restricted to receipts that Redis holds.
func TestMoveReceipts_ifHeld(t *testing.T) {
	t.Parallel()
	l, _, _ := newLog(t)
	ch, ann, bob := seededAt(t, l, 10), chat.NewUserID(), chat.NewUserID()
	mustMove(t, l, move(ch, ann, 3, 3))
	tries := []ReceiptMove{move(ch, bob, 5, 5), move(ch, ann, 5, 5)}
	tries[0].IfHeld, tries[1].IfHeld = true, true
	want := []MovedReceipt{{Seeded: true, Said: true}, {Receipt{5, 5}, true, true, true, true}}
	if moved := mustMove(t, l, tries...); !reflect.DeepEqual(moved, want) {
		t.Errorf("moved %+v, want %+v", moved, want)
	}
	if at, err := l.HeldReceipts(t.Context(), ch, ann, bob); err != nil || len(at) != 1 {
		t.Errorf("Redis holds %v, %v", at, err)
	}
	if told := receiptsOf(t, l, ch); len(told) != 2 {
		t.Errorf("the stream has %+v", told)
	}
}

// sync-service sets an expiry on receipts once they are stored; a move that changes a position
// removes the expiry.
func TestMoveReceipts_persists(t *testing.T) {
	t.Parallel()
	l, rdb, _ := newLog(t)
	ch, ann := seededAt(t, l, 10), chat.NewUserID()
	key := rediskey.Cursor(l.Partition(ch.UUID), ch)
	mustMove(t, l, move(ch, ann, 3, 3))
	for _, tt := range []struct {
		to    int64
		keeps bool
	}{{2, false}, {4, true}} {
		if err := rdb.Expire(t.Context(), key, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
		mustMove(t, l, move(ch, ann, tt.to, 0))
		if ttl := rdb.TTL(t.Context(), key).Val(); (ttl < 0) != tt.keeps {
			t.Errorf("moved to %d: expires in %s", tt.to, ttl)
		}
	}
}

// Moves work on a Cluster, with channels on all nodes, and after the script cache was flushed.
func TestMoveReceipts_cluster(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 3, 0)
	l := New(open(t, c.URL()), 16)
	ann := chat.NewUserID()
	var moves []ReceiptMove
	for range 40 {
		moves = append(moves, move(seededAt(t, l, 10), ann, 7, 6))
	}
	for round := range 2 {
		for _, m := range c.Masters {
			if err := m.Client(t).ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		for i, m := range mustMove(t, l, moves...) {
			if m != (MovedReceipt{Receipt{7, 6}, round == 0, true, true, true}) {
				t.Errorf("round %d, channel %d: %+v", round, i, m)
			}
		}
	}
	var channels []chat.ChannelID
	for _, m := range moves {
		channels = append(channels, m.Channel)
	}
	channels = append(channels, chat.NewChannelID())
	at, err := l.Positions(t.Context(), ann, channels)
	if err != nil || len(at) != 41 || at[0] != at[39] || at[40] != (Position{}) {
		t.Fatalf("Positions: %v, %v", at, err)
	}
	heads, err := l.Heads(t.Context(), channels[:1])
	if err != nil || at[0] != (Position{Seq: heads[0].Seq, Seeded: true, Receipt: Receipt{7, 6}}) || heads[0].Seq == 0 {
		t.Errorf("Positions: %+v at head %+v, %v", at[0], heads, err)
	}
	if none, err := l.Positions(t.Context(), ann, nil); err != nil || len(none) != 0 {
		t.Errorf("Positions nowhere: %v, %v", none, err)
	}
}

func TestMoveReceipts_redisDown(t *testing.T) {
	t.Parallel()
	l, _, s := newLog(t)
	ch, ann := seededAt(t, l, 10), chat.NewUserID()
	s.Kill(t)
	if moved, err := l.MoveReceipts(t.Context(), []ReceiptMove{move(ch, ann, 1, 1)}); err == nil || moved[0] != (MovedReceipt{}) {
		t.Errorf("moved %+v, %v", moved, err)
	}
	if _, err := l.HeldReceipts(t.Context(), ch); err == nil {
		t.Error("HeldReceipts has no error")
	}
	if _, err := l.Positions(t.Context(), ann, []chat.ChannelID{ch}); err == nil {
		t.Error("Positions has no error")
	}
}

package receiptlog_test

import (
	"context"
	"math"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

const partitions = 16

// fixture is a Log on Redis servers that only this test uses.
type fixture struct {
	*receiptlog.Log
	rdb redis.UniversalClient
}

func newFixture(t testing.TB, url string) fixture {
	t.Helper()
	rdb, err := redisclient.Open(url, redisclient.Options{NoRetry: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return fixture{receiptlog.New(rdb, partitions), rdb}
}

func partition(ch chat.ChannelID) int { return rediskey.Of(ch.UUID, partitions) }

// seededAt returns a channel whose last seq is seq.
func seededAt(t testing.TB, l fixture, seq int64) chat.ChannelID {
	t.Helper()
	ch := chat.NewChannelID()
	if err := l.rdb.HSet(t.Context(), rediskey.Counter(partition(ch), ch), "seq", seq, "epoch", "1-a").Err(); err != nil {
		t.Fatal(err)
	}
	return ch
}

func move(ch chat.ChannelID, u chat.UserID, delivered, read int64) receiptlog.Move {
	return receiptlog.Move{Channel: ch, User: u, Receipt: receiptlog.Receipt{Delivered: delivered, Read: read}}
}

// result is the result of a move in a channel with a counter.
func result(delivered, read int64, changed bool) receiptlog.Moved {
	return receiptlog.Moved{Receipt: receiptlog.Receipt{Delivered: delivered, Read: read}, Changed: changed, Held: true, Seeded: true, Said: true}
}

func mustMove(t testing.TB, l fixture, moves ...receiptlog.Move) []receiptlog.Moved {
	t.Helper()
	moved, err := l.Move(t.Context(), moves)
	if err != nil || len(moved) != len(moves) {
		t.Fatalf("%d results of %d moves, %v", len(moved), len(moves), err)
	}
	return moved
}

// receiptsOf returns a channel's entries in the receipts stream.
func receiptsOf(t testing.TB, l fixture, ch chat.ChannelID) (all []event.Receipts) {
	t.Helper()
	raw, err := l.rdb.XRange(t.Context(), rediskey.Receipts(partition(ch)), "-", "+").Result()
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

func TestMove_rules(t *testing.T) {
	t.Parallel()
	l := newFixture(t, redistest.NewServer(t).URL())
	for _, tt := range []struct {
		name       string
		from, to   receiptlog.Receipt
		want       receiptlog.Receipt
		wantChange bool
	}{
		{"delivered", receiptlog.Receipt{}, receiptlog.Receipt{Delivered: 5, Read: 0}, receiptlog.Receipt{Delivered: 5, Read: 0}, true},
		{"read takes delivered along", receiptlog.Receipt{}, receiptlog.Receipt{Delivered: 0, Read: 5}, receiptlog.Receipt{Delivered: 5, Read: 5}, true},
		{"read up to delivered", receiptlog.Receipt{Delivered: 7, Read: 2}, receiptlog.Receipt{Delivered: 0, Read: 5}, receiptlog.Receipt{Delivered: 7, Read: 5}, true},
		{"never back", receiptlog.Receipt{Delivered: 7, Read: 5}, receiptlog.Receipt{Delivered: 6, Read: 4}, receiptlog.Receipt{Delivered: 7, Read: 5}, false},
		{"each part on its own", receiptlog.Receipt{Delivered: 7, Read: 5}, receiptlog.Receipt{Delivered: 9, Read: 1}, receiptlog.Receipt{Delivered: 9, Read: 5}, true},
		{"cut to the last seq", receiptlog.Receipt{Delivered: 7, Read: 5}, receiptlog.Receipt{Delivered: 11, Read: 12}, receiptlog.Receipt{Delivered: 10, Read: 10}, true},
		{"cut, however far", receiptlog.Receipt{}, receiptlog.Receipt{Delivered: math.MaxInt64, Read: 0}, receiptlog.Receipt{Delivered: 10, Read: 0}, true},
		{"cut, and there already", receiptlog.Receipt{Delivered: 10, Read: 10}, receiptlog.Receipt{Delivered: 11, Read: 11}, receiptlog.Receipt{Delivered: 10, Read: 10}, false},
		{"nothing said", receiptlog.Receipt{}, receiptlog.Receipt{}, receiptlog.Receipt{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ch, ann := seededAt(t, l, 10), chat.NewUserID()
			mustMove(t, l, move(ch, ann, tt.from.Delivered, tt.from.Read))
			before := receiptsOf(t, l, ch)
			want := receiptlog.Moved{Receipt: tt.want, Changed: tt.wantChange, Held: true, Seeded: true, Said: true}
			if got := mustMove(t, l, move(ch, ann, tt.to.Delivered, tt.to.Read))[0]; got != want {
				t.Errorf("moved to %+v, want %+v", got, want)
			}
			at, err := l.Held(t.Context(), ch, ann)
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
func TestMove_anyOrderGivesTheMaximum(t *testing.T) {
	t.Parallel()
	l := newFixture(t, redistest.NewServer(t).URL())
	const last = 1000
	channels := []chat.ChannelID{seededAt(t, l, last), seededAt(t, l, last), seededAt(t, l, last)}
	users := []chat.UserID{chat.NewUserID(), chat.NewUserID(), chat.NewUserID(), chat.NewUserID()}
	type member struct {
		ch chat.ChannelID
		u  chat.UserID
	}
	want := make(map[member]receiptlog.Receipt)
	var moves []receiptlog.Move
	for range 600 {
		m := move(channels[rand.IntN(len(channels))], users[rand.IntN(len(users))], rand.Int64N(2*last), rand.Int64N(last))
		who, cut := member{m.Channel, m.User}, receiptlog.Receipt{min(m.Delivered, last), min(m.Read, last)}
		cut.Delivered = max(cut.Delivered, cut.Read)
		want[who] = want[who].Max(cut)
		moves = append(moves, m)
	}
	var senders sync.WaitGroup
	for range 4 {
		mine := append([]receiptlog.Move(nil), moves...)
		rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		senders.Go(func() {
			seen := make(map[member]receiptlog.Receipt)
			for len(mine) > 0 {
				page := mine[:min(1+rand.IntN(40), len(mine))]
				mine = mine[len(page):]
				moved, err := l.Move(context.Background(), page)
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
		at, err := l.Held(t.Context(), ch)
		if err != nil {
			t.Fatal(err)
		}
		told := make(map[chat.UserID]receiptlog.Receipt)
		for _, r := range receiptsOf(t, l, ch) {
			for _, m := range r.Moves {
				now := receiptlog.Receipt{Delivered: m.Delivered, Read: m.Read}
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
func TestMove_unseeded(t *testing.T) {
	t.Parallel()
	l := newFixture(t, redistest.NewServer(t).URL())
	good, bare, ann := seededAt(t, l, 3), chat.NewChannelID(), chat.NewUserID()
	moved := mustMove(t, l, move(bare, ann, 2, 2), move(good, ann, 2, 2))
	if moved[0] != (receiptlog.Moved{Said: true}) || moved[1] != result(2, 2, true) {
		t.Errorf("moved %+v", moved)
	}
	p := partition(bare)
	if n := l.rdb.Exists(t.Context(), rediskey.Cursor(p, bare), rediskey.Counter(p, bare)).Val(); n != 0 {
		t.Error("something was written for a channel without a counter")
	}
	if told := receiptsOf(t, l, bare); len(told) > 0 {
		t.Errorf("the stream has %+v", told)
	}
	none, err := l.Move(t.Context(), nil)
	if err != nil || len(none) != 0 {
		t.Errorf("no moves: %v, %v", none, err)
	}
}

// A publication names up to 100 members; if more have moved, it names none. The stream gets all
// moves, at most 500 per entry.
func TestMove_many(t *testing.T) {
	t.Parallel()
	l := newFixture(t, redistest.NewServer(t).URL())
	for _, tt := range []struct{ members, named, entries, published int }{
		{100, 100, 1, 1}, {101, 0, 1, 1}, {event.MaxMoves, 0, 1, 1}, {event.MaxMoves + 1, 1, 2, 2}, {1203, 0, 3, 3},
	} {
		ch := seededAt(t, l, 10)
		sub := l.rdb.SSubscribe(t.Context(), rediskey.Topic(partition(ch), ch))
		defer sub.Close()
		if _, err := sub.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		moves := make([]receiptlog.Move, tt.members)
		for i := range moves {
			moves[i] = move(ch, chat.NewUserID(), 10, 9)
		}
		mustMove(t, l, moves...)
		named := 0
		for range tt.published {
			m, err := sub.ReceiveMessage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			it, err := event.DecodeItem([]byte(m.Payload))
			if err != nil || !it.Ephemeral() || it.Kind != event.KindReceipts {
				t.Fatalf("published %q: %v", m.Payload, err)
			}
			moves, err := event.DecodeMoves(string(it.Frame))
			if err != nil {
				t.Fatal(err)
			}
			named += len(moves)
		}
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
func TestMove_oneUserTwice(t *testing.T) {
	t.Parallel()
	l := newFixture(t, redistest.NewServer(t).URL())
	ch, ann := seededAt(t, l, 10), chat.NewUserID()
	moved := mustMove(t, l, move(ch, ann, 3, 0), move(ch, ann, 0, 5), move(ch, ann, 4, 4))
	want := []receiptlog.Moved{result(3, 0, true), result(5, 5, true), result(5, 5, false)}
	if !reflect.DeepEqual(moved, want) {
		t.Errorf("moved %+v, want %+v", moved, want)
	}
	if told := receiptsOf(t, l, ch); len(told) != 1 || len(told[0].Moves) != 1 || told[0].Moves[0].Delivered != 5 {
		t.Errorf("the stream has %+v", told)
	}
}

// If Redis does not hold a member's receipt, PostgreSQL may hold a greater one than the move. So a
// move can be restricted to receipts that Redis holds.
func TestMove_ifHeld(t *testing.T) {
	t.Parallel()
	l := newFixture(t, redistest.NewServer(t).URL())
	ch, ann, bob := seededAt(t, l, 10), chat.NewUserID(), chat.NewUserID()
	mustMove(t, l, move(ch, ann, 3, 3))
	tries := []receiptlog.Move{move(ch, bob, 5, 5), move(ch, ann, 5, 5)}
	tries[0].IfHeld, tries[1].IfHeld = true, true
	want := []receiptlog.Moved{{Seeded: true, Said: true}, result(5, 5, true)}
	if moved := mustMove(t, l, tries...); !reflect.DeepEqual(moved, want) {
		t.Errorf("moved %+v, want %+v", moved, want)
	}
	if at, err := l.Held(t.Context(), ch, ann, bob); err != nil || len(at) != 1 {
		t.Errorf("Redis holds %v, %v", at, err)
	}
	if told := receiptsOf(t, l, ch); len(told) != 2 {
		t.Errorf("the stream has %+v", told)
	}
}

// sync-service sets an expiry on receipts once they are stored; a move that changes a position
// removes the expiry.
func TestMove_persists(t *testing.T) {
	t.Parallel()
	l := newFixture(t, redistest.NewServer(t).URL())
	ch, ann := seededAt(t, l, 10), chat.NewUserID()
	key := rediskey.Cursor(partition(ch), ch)
	mustMove(t, l, move(ch, ann, 3, 3))
	for _, tt := range []struct {
		to    int64
		keeps bool
	}{{2, false}, {4, true}} {
		if err := l.rdb.Expire(t.Context(), key, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
		mustMove(t, l, move(ch, ann, tt.to, 0))
		if ttl := l.rdb.TTL(t.Context(), key).Val(); (ttl < 0) != tt.keeps {
			t.Errorf("moved to %d: expires in %s", tt.to, ttl)
		}
	}
}

// Moves work on a Cluster, with channels on all nodes, and after the script cache was flushed.
func TestMove_cluster(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 3, 0)
	l := newFixture(t, c.URL())
	ann := chat.NewUserID()
	var moves []receiptlog.Move
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
			if m != result(7, 6, round == 0) {
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
	if err != nil || len(at) != 41 || at[0] != at[39] || at[40] != (receiptlog.Position{}) {
		t.Fatalf("Positions: %v, %v", at, err)
	}
	if at[0] != (receiptlog.Position{Seq: 10, Seeded: true, Receipt: receiptlog.Receipt{Delivered: 7, Read: 6}}) {
		t.Errorf("Positions: %+v", at[0])
	}
	if none, err := l.Positions(t.Context(), ann, nil); err != nil || len(none) != 0 {
		t.Errorf("Positions nowhere: %v, %v", none, err)
	}
}

func TestMove_redisDown(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	l := newFixture(t, s.URL())
	ch, ann := seededAt(t, l, 10), chat.NewUserID()
	s.Kill(t)
	if moved, err := l.Move(t.Context(), []receiptlog.Move{move(ch, ann, 1, 1)}); err == nil || moved[0] != (receiptlog.Moved{}) {
		t.Errorf("moved %+v, %v", moved, err)
	}
	if _, err := l.Held(t.Context(), ch); err == nil {
		t.Error("Held has no error")
	}
	if _, err := l.Positions(t.Context(), ann, []chat.ChannelID{ch}); err == nil {
		t.Error("Positions has no error")
	}
}

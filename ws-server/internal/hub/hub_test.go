package hub_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/ws-server/internal/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// conn is a connection that records the seqs it received.
type conn struct {
	user chat.UserID
	log  func(after int64, upTo int64) []hub.Event // the seqs that its replays have read
	wg   *sync.WaitGroup

	mu      sync.Mutex
	seqs    []int64
	frames  int
	resyncs int
	ended   bool
	resumed bool
}

func (c *conn) User() chat.UserID       { return c.user }
func (c *conn) Prefetch()               {}
func (c *conn) DeliverEphemeral([]byte) {}
func (c *conn) Ended(*hub.Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
}

func (c *conn) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resumed = true
}

func (c *conn) Deliver(frame []byte, events int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames++
	if bytes.HasPrefix(frame, []byte("resync")) {
		c.resyncs++
		return
	}
	n := 0
	for part := range bytes.SplitSeq(frame, []byte{'\n'}) {
		seq, err := strconv.ParseInt(string(part), 10, 64)
		if err != nil {
			panic(err)
		}
		c.seqs = append(c.seqs, seq)
		n++
	}
	if n != events {
		panic(fmt.Sprintf("%d events counted as %d", n, events))
	}
}

// Replay reads a few events at a time, as a slow connection does.
func (c *conn) Replay(s *hub.Subscription) {
	c.wg.Go(func() {
		for {
			next, done := s.Position()
			if done {
				return
			}
			events, ok := s.Channel().FromRing(next, 64)
			if !ok {
				events = c.log(next-1, next+5)
			}
			if !s.DeliverReplay(events) {
				return
			}
		}
	})
}

func (c *conn) seen() []int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]int64(nil), c.seqs...)
}

const epoch = event.Epoch("1-a")

func ev(seq int64) hub.Event {
	return hub.Event{Seq: seq, Epoch: epoch, Kind: event.Message, Frame: strconv.AppendInt(nil, seq, 10)}
}

func span(after, upTo int64) (events []hub.Event) {
	for s := after + 1; s <= upTo; s++ {
		events = append(events, ev(s))
	}
	return events
}

func newHub(change func(*hub.Config)) *hub.Hub {
	cfg := hub.Config{
		Join:   func(frames [][]byte) []byte { return bytes.Join(frames, []byte{'\n'}) },
		Resync: func(chat.ChannelID, event.Epoch, int64) []byte { return []byte("resync") },
		Heal:   func(*hub.Channel, int64, int64) {},
		Idle:   func(*hub.Channel) {},
	}
	if change != nil {
		change(&cfg)
	}
	return hub.New(cfg)
}

func noAnswer(int64, event.Epoch) bool { return false }

func consecutive(t *testing.T, who string, seqs []int64, first, last int64) {
	t.Helper()
	for i, s := range seqs {
		if s != first+int64(i) {
			t.Fatalf("%s: event %d is seq %d, want %d", who, i, s, first+int64(i))
		}
	}
	if got := first + int64(len(seqs)) - 1; got != last {
		t.Fatalf("%s ends at %d, want %d", who, got, last)
	}
}

// Events arrive in random order and repeatedly, and subscriptions are added at any time, resuming
// from any seq. Each subscription must get every seq after its starting point once, in order.
func TestPublish_deliversEverySeqOnceInOrder(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 1))
			const last = 2000
			var healing sync.WaitGroup
			h := newHub(func(cfg *hub.Config) {
				cfg.Heal = func(ch *hub.Channel, after, upTo int64) {
					healing.Go(func() {
						from, _ := ch.Missing(upTo)
						ch.Publish(span(from-1, upTo)) // includes events that arrived too early
						ch.HealDone()
					})
				}
			})
			ch, _ := h.Open(chat.NewChannelID())
			ch.Begin(0, epoch)
			var replays, joins sync.WaitGroup
			type subscriber struct {
				c     *conn
				first int64
			}
			var mu sync.Mutex
			var conns []subscriber
			join := func(after int64) {
				c := &conn{user: chat.NewUserID(), wg: &replays, log: func(after, upTo int64) []hub.Event { return span(after, upTo) }}
				var head int64
				ch.Subscribe(c, after, func(h int64, _ event.Epoch) bool { head = h; return false })
				if after < 0 || after > head {
					after = head
				}
				mu.Lock()
				conns = append(conns, subscriber{c, after + 1})
				mu.Unlock()
			}
			join(-1)
			for s := int64(1); s <= last; {
				n := min(rng.Int64N(40)+1, last-s+1)
				batch := span(s-1, s+n-1)
				s += n
				switch rng.IntN(6) {
				case 0: // all events except the last one are lost; the gap is filled
					if s <= last {
						batch = batch[len(batch)-1:]
					}
				case 1:
					rng.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
				case 2: // published twice
					batch = append(batch, batch...)
				case 3:
					after := rng.Int64N(s)
					joins.Go(func() { join(after) })
				}
				ch.Publish(batch)
			}
			joins.Wait()
			for _, p := range conns {
				testkit.Until(t, testkit.Timeout, func() error {
					if seen := p.c.seen(); p.first <= last && (len(seen) == 0 || seen[len(seen)-1] < last) {
						return fmt.Errorf("at %d events from %d", len(seen), p.first)
					}
					return nil
				})
				consecutive(t, fmt.Sprintf("from %d", p.first), p.c.seen(), p.first, last)
			}
			replays.Wait()
			healing.Wait()
			h.Wait()
		})
	}
}

// Events that arrive during a fan-out are sent together in one frame.
func TestFanout_sendsWaitingEventsAsOneFrame(t *testing.T) {
	h := newHub(nil)
	ch, _ := h.Open(chat.NewChannelID())
	ch.Begin(0, epoch)
	release, entered := make(chan struct{}), make(chan struct{}, 1)
	var wg sync.WaitGroup
	slow := &blocking{conn: conn{wg: &wg}, entered: entered, release: release}
	fast := &conn{user: chat.NewUserID(), wg: &wg}
	ch.Subscribe(slow, -1, noAnswer)
	ch.Subscribe(fast, -1, noAnswer)
	ch.Publish(span(0, 1))
	<-entered
	for s := int64(1); s < 100; s++ {
		ch.Publish(span(s, s+1))
	}
	close(release)
	testkit.Until(t, testkit.Timeout, func() error {
		if n := len(fast.seen()); n != 100 {
			return fmt.Errorf("%d events", n)
		}
		return nil
	})
	consecutive(t, "fast", fast.seen(), 1, 100)
	if fast.frames != 2 {
		t.Errorf("%d frames, want the first event and then one batch", fast.frames)
	}
	h.Wait()
}

// blocking blocks the fan-out at its first frame.
type blocking struct {
	conn
	entered chan struct{}
	release chan struct{}
	once    sync.Once
}

func (b *blocking) Deliver(frame []byte, events int) {
	b.once.Do(func() { b.entered <- struct{}{}; <-b.release })
	b.conn.Deliver(frame, events)
}

func TestMemberLeft_endsTheMembersSubscription(t *testing.T) {
	h := newHub(nil)
	ch, _ := h.Open(chat.NewChannelID())
	ch.Begin(0, epoch)
	var wg sync.WaitGroup
	leaver, stayer := &conn{user: chat.NewUserID(), wg: &wg}, &conn{user: chat.NewUserID(), wg: &wg}
	ch.Subscribe(leaver, -1, noAnswer)
	ch.Subscribe(stayer, -1, noAnswer)
	events := span(0, 10)
	events[4].Kind, events[4].Left = event.MemberLeft, leaver.user
	ch.Publish(events)
	testkit.Until(t, testkit.Timeout, func() error {
		if n := len(stayer.seen()); n != 10 {
			return fmt.Errorf("%d events", n)
		}
		return nil
	})
	h.Wait()
	consecutive(t, "leaver", leaver.seen(), 1, 5)
	if !leaver.ended || stayer.ended || ch.Subscribers() != 1 {
		t.Errorf("ended: %v and %v, %d subscribers", leaver.ended, stayer.ended, ch.Subscribers())
	}
}

func TestNewEpoch_resyncsAndDropsOldEvents(t *testing.T) {
	h := newHub(nil)
	ch, _ := h.Open(chat.NewChannelID())
	ch.Begin(0, epoch)
	var wg sync.WaitGroup
	c := &conn{user: chat.NewUserID(), wg: &wg}
	ch.Subscribe(c, -1, noAnswer)
	ch.Publish(span(0, 3))
	next := ev(7)
	next.Epoch = "2-b"
	ch.Publish([]hub.Event{next})
	ch.Publish(span(3, 4)) // a late event of the old epoch
	h.Wait()
	if seen := c.seen(); c.resyncs != 1 || len(seen) == 0 || seen[len(seen)-1] != 7 {
		t.Errorf("%d resyncs, seen %v", c.resyncs, seen)
	}
}

// A read that fills a gap may include events that had already arrived early. Then the gap is
// closed, and no second read is requested.
func TestHeal_includesEventsThatArrivedAhead(t *testing.T) {
	asked := 0
	h := newHub(func(cfg *hub.Config) { cfg.Heal = func(*hub.Channel, int64, int64) { asked++ } })
	ch, _ := h.Open(chat.NewChannelID())
	ch.Begin(0, epoch)
	ch.Publish(span(4, 8))
	ch.Publish(span(0, 8))
	ch.HealDone()
	h.Wait()
	if head, _ := ch.Head(); asked != 1 || head != 8 {
		t.Errorf("asked %d times, head %d; want once and 8", asked, head)
	}
}

func TestHealFailed_closesConnectionsToResume(t *testing.T) {
	asked := 0
	h := newHub(func(cfg *hub.Config) { cfg.Heal = func(*hub.Channel, int64, int64) { asked++ } })
	ch, _ := h.Open(chat.NewChannelID())
	ch.Begin(0, epoch)
	var wg sync.WaitGroup
	c := &conn{user: chat.NewUserID(), wg: &wg}
	ch.Subscribe(c, -1, noAnswer)
	ch.Publish(span(4, 5))
	ch.Publish(span(5, 6))
	if asked != 1 {
		t.Errorf("healing was asked for %d times, want once", asked)
	}
	ch.HealFailed()
	h.Wait()
	if !c.resumed || len(c.seen()) != 0 {
		t.Errorf("resumed: %v, seen %v", c.resumed, c.seen())
	}
}

func BenchmarkFanout(b *testing.B) {
	for _, members := range []int{10, 1000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			h := newHub(nil)
			ch, _ := h.Open(chat.NewChannelID())
			ch.Begin(0, epoch)
			for range members {
				ch.Subscribe(nop{}, -1, noAnswer)
			}
			b.ReportAllocs()
			for s := int64(0); b.Loop(); s++ {
				ch.Publish(span(s, s+1))
			}
			h.Wait()
		})
	}
}

type nop struct{}

func (nop) User() chat.UserID        { return chat.UserID{} }
func (nop) Prefetch()                {}
func (nop) Deliver([]byte, int)      {}
func (nop) DeliverEphemeral([]byte)  {}
func (nop) Replay(*hub.Subscription) {}
func (nop) Ended(*hub.Subscription)  {}
func (nop) Resume()                  {}

// Config.Delivered is called with the number of subscriptions that got a batch, and is not called
// for a batch that nobody got.
func TestDelivered_countsSubscriptions(t *testing.T) {
	t.Parallel()
	type delivery struct{ first, events, to int64 }
	calls := make(chan delivery, 10)
	var count atomic.Int64
	h := newHub(func(cfg *hub.Config) {
		cfg.Count = func(deliveries int) { count.Add(int64(deliveries)) }
		cfg.Delivered = func(_ *hub.Channel, batch []hub.Event, to int, began time.Time) {
			if began.IsZero() || began.After(time.Now()) {
				t.Errorf("began at %s", began)
			}
			calls <- delivery{batch[0].Seq, int64(len(batch)), int64(to)}
		}
	})
	ch, _ := h.Open(chat.NewChannelID())
	ch.Begin(0, epoch)
	ch.Publish(span(0, 2)) // no subscription gets these
	h.Wait()
	var replays sync.WaitGroup
	for range 3 {
		ch.Subscribe(&conn{user: chat.NewUserID(), wg: &replays}, -1, noAnswer)
	}
	ch.Publish(span(2, 5))
	h.Wait()
	close(calls)
	var all []delivery
	for d := range calls {
		all = append(all, d)
	}
	if len(all) != 1 || all[0] != (delivery{3, 3, 3}) {
		t.Errorf("Delivered was called with %+v, want 3 events from seq 3 on to 3 subscriptions", all)
	}
	if n := count.Load(); n != 9 {
		t.Errorf("%d deliveries counted, want 9", n)
	}
}

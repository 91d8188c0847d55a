// Package audit answers one question on a live system: is every acknowledged event stored?
//
// It notes the counters of all channels, then the end of every stream, so whatever was acknowledged up to
// a counter lies below that end. It waits until the consumer group has stored and acknowledged all up to
// those ends. Then it compares: each channel has a row for each seq up to its counter, and each entry that
// the stream retains has its row, or a tombstone whose dead letter is there.
//
// Of an event whose entry is trimmed only PostgreSQL knows. What it can prove is that no seq from 1 to the
// counter is without a row, and, by its keys, that no seq and no event id has two. How many of the rows are
// tombstones is counted; whether a row says what its entry said cannot be asked any more.
package audit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/deadletter"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/lag"
	"parley.chat/sync-service/internal/scan"
	"parley.chat/sync-service/internal/store"
)

// The kinds of problem.
const (
	Hole       = "hole"           // no row, though the counter says that there was an event
	Missing    = "missing"        // an entry of the stream that has no row: a replay brings it back
	Conflict   = "conflict"       // another event, or a tombstone, holds the seq of an entry whose event is stored nowhere
	Duplicate  = "duplicate"      // one client id of one sender was given two seqs within the idempotency window
	NoLetter   = "no_dead_letter" // a tombstone says "failed", and neither a dead letter nor an operator knows why
	Behind     = "counter_behind" // PostgreSQL holds seqs above the counter: Redis has lost writes
	MostRanges = 1000             // of one channel's holes that are listed
)

// Problem is a finding about a run of seqs of one channel.
type Problem struct {
	Kind    string         `json:"kind"`
	Channel chat.ChannelID `json:"channel_id"`
	store.Range
	Note string `json:"note,omitempty"`
}

// Report is what an audit has found.
type Report struct {
	Channels int       `json:"channels"`   // looked at
	Rows     int64     `json:"rows"`       // counted, up to the counters
	Stones   int64     `json:"tombstones"` // among the rows: seqs without an event
	Entries  int64     `json:"entries"`    // of the streams, compared one by one
	Dead     int64     `json:"dead"`       // dead letters
	Problems []Problem `json:"problems"`
	Repaired int64     `json:"repaired"` // rows that --repair has put back
	Lost     int64     `json:"lost"`     // tombstones that --repair has put where nothing holds the seq
}

// Clean reports whether nothing is wrong.
func (r *Report) Clean() bool { return len(r.Problems) == 0 }

// ErrUnsettled is returned when the consumer group did not come to where the audit begins.
var ErrUnsettled = errors.New("the consumer group has not stored what was there when the audit began")

// Options configure an audit.
type Options struct {
	Partitions int
	Wait       time.Duration // for the consumer group; default 30s
	Progress   func(what string, done float64)
}

// Store is the part of store.Store that an audit needs.
type Store interface {
	Look(ctx context.Context, places []store.Place) ([]store.Found, error)
	Channels(ctx context.Context, after chat.ChannelID, limit int) ([]store.ChannelRows, error)
	Counts(ctx context.Context, channel chat.ChannelID, upTo int64) (store.ChannelRows, error)
	Holes(ctx context.Context, channel chat.ChannelID, upTo int64, limit int) ([]store.Range, error)
}

type audit struct {
	rdb     redis.UniversalClient
	log     *eventlog.Log
	store   Store
	o       Options
	heads   map[chat.ChannelID]int64
	letters map[place]struct{}
	report  Report
}

type place struct {
	channel chat.ChannelID
	seq     int64
}

// Run audits. An error means that the question could not be answered.
func Run(ctx context.Context, rdb redis.UniversalClient, s Store, o Options) (Report, error) {
	if o.Wait == 0 {
		o.Wait = 30 * time.Second
	}
	if o.Progress == nil {
		o.Progress = func(string, float64) {}
	}
	a := &audit{
		rdb: rdb, log: eventlog.New(rdb, o.Partitions), store: s, o: o,
		heads: map[chat.ChannelID]int64{}, letters: map[place]struct{}{},
	}
	a.report.Problems = []Problem{}
	if err := a.noteHeads(ctx); err != nil {
		return a.report, err
	}
	ends, err := scan.Ends(ctx, rdb, o.Partitions)
	if err != nil {
		return a.report, err
	}
	if err := a.settle(ctx, ends); err != nil {
		return a.report, err
	}
	if err := a.noteLetters(ctx); err != nil {
		return a.report, err
	}
	if err := a.channels(ctx); err != nil {
		return a.report, err
	}
	if err := a.streams(ctx, ends); err != nil {
		return a.report, err
	}
	slices.SortFunc(a.report.Problems, func(x, y Problem) int {
		if c := strings.Compare(x.Channel.String(), y.Channel.String()); c != 0 {
			return c
		}
		return int(x.From - y.From)
	})
	return a.report, nil
}

// noteHeads reads the counter of every channel that has one.
func (a *audit) noteHeads(ctx context.Context) error {
	var channels []chat.ChannelID
	var mu sync.Mutex // of a Cluster, several servers are asked at once
	if err := scan.Channels(ctx, a.rdb, a.o.Partitions, rediskey.Counter, func(_ int, c chat.ChannelID) {
		mu.Lock()
		defer mu.Unlock()
		channels = append(channels, c)
	}); err != nil {
		return err
	}
	for some := range slices.Chunk(channels, scan.Page) {
		heads, err := a.log.Heads(ctx, some)
		if err != nil {
			return err
		}
		for i, h := range heads {
			a.heads[some[i]] = h.Seq
		}
	}
	return nil
}

// settle waits until the group has done with everything up to the ends.
func (a *audit) settle(ctx context.Context, ends []entryid.ID) error {
	deadline := time.Now().Add(a.o.Wait)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		states, err := lag.Read(ctx, a.rdb, a.o.Partitions)
		if err != nil {
			return err
		}
		var behind []string
		for p, s := range states {
			if why := unsettled(s, ends[p]); why != "" {
				behind = append(behind, fmt.Sprintf("partition %d: %s", p, why))
			}
		}
		if len(behind) == 0 {
			return nil
		}
		a.o.Progress("waiting for the consumer group", 1-float64(len(behind))/float64(len(states)))
		if time.Now().After(deadline) {
			return fmt.Errorf("%w within %v: %s", ErrUnsettled, a.o.Wait, strings.Join(behind, "; "))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// unsettled says what of a partition is not stored and acknowledged up to end.
func unsettled(s lag.Partition, end entryid.ID) string {
	if s.Length == 0 && s.Pending == 0 {
		return ""
	}
	if s.OldestPending != nil {
		if id, err := entryid.Parse(*s.OldestPending); err != nil || !end.Less(id) {
			return fmt.Sprintf("%d pending, the oldest %s", s.Pending, *s.OldestPending)
		}
	}
	if id, err := entryid.Parse(s.Delivered); err != nil || id.Less(end) {
		return fmt.Sprintf("delivered up to %s, not %s", s.Delivered, end)
	}
	return ""
}

func (a *audit) noteLetters(ctx context.Context) error {
	return deadletter.Each(ctx, a.rdb, a.o.Partitions, func(l deadletter.Letter) error {
		a.report.Dead++
		a.letters[place{l.Event.Channel, l.Event.Seq}] = struct{}{}
		return nil
	})
}

// channels compares the counters with the rows.
func (a *audit) channels(ctx context.Context) error {
	seen := make(map[chat.ChannelID]struct{}, len(a.heads))
	var after chat.ChannelID
	for {
		page, err := a.store.Channels(ctx, after, 500)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			seen[c.Channel] = struct{}{}
			head, counted := a.heads[c.Channel]
			if err := a.channel(ctx, c, head, counted); err != nil {
				return err
			}
		}
		after = page[len(page)-1].Channel
		a.o.Progress("comparing channels", float64(after.UUID[0])/256)
	}
	for c, head := range a.heads { // those without any row
		if _, ok := seen[c]; !ok && head > 0 {
			a.report.Channels++
			a.add(Hole, c, 1, head, "")
		}
	}
	return nil
}

func (a *audit) channel(ctx context.Context, c store.ChannelRows, head int64, counted bool) error {
	a.report.Channels++
	if counted && c.Last > head { // by now, or is the counter behind?
		now, err := a.log.Heads(ctx, []chat.ChannelID{c.Channel})
		if err != nil {
			return err
		}
		if now[0].Seeded() && now[0].Seq < c.Last {
			a.add(Behind, c.Channel, now[0].Seq+1, c.Last, "sync-service rebuild-counters")
		}
	}
	counts, upTo := c, c.Last
	if counted {
		upTo = head
		if c.Last > head {
			var err error
			if counts, err = a.store.Counts(ctx, c.Channel, head); err != nil {
				return err
			}
		}
	}
	a.report.Rows += counts.Rows
	a.report.Stones += counts.Stones
	if counts.Rows == upTo {
		return nil
	}
	holes, err := a.store.Holes(ctx, c.Channel, upTo, MostRanges)
	for _, h := range holes {
		a.add(Hole, c.Channel, h.From, h.To, "")
	}
	return err
}

func (a *audit) add(kind string, c chat.ChannelID, from, to int64, note string) {
	a.report.Problems = append(a.report.Problems, Problem{Kind: kind, Channel: c, Range: store.Range{From: from, To: to}, Note: note})
}

// window remembers what was sent within the idempotency window, by the time of the stream.
type window struct {
	seed     maphash.Seed
	now, old map[uint64]int64 // digest of channel, sender and client id → seq
	since    int64            // ms
}

// twice returns the seq that another event of the same client id was given.
func (w *window) twice(e event.Entry, ms int64) (int64, bool) {
	if e.ClientID.IsZero() || !e.Kind.FromMember() {
		return 0, false
	}
	if half := eventlog.IdempotencyWindow.Milliseconds() / 2; ms-w.since > half {
		w.old, w.now, w.since = w.now, map[uint64]int64{}, ms
	}
	key := maphash.Comparable(w.seed, [3]chat.EventID{{UUID: e.Channel.UUID}, {UUID: e.Sender.UUID}, {UUID: e.ClientID.UUID}})
	seq, ok := w.now[key]
	if !ok {
		seq, ok = w.old[key]
	}
	w.now[key] = e.Seq
	return seq, ok && seq != e.Seq
}

// streams compares what the streams retain with the rows.
func (a *audit) streams(ctx context.Context, ends []entryid.ID) error {
	for p, end := range ends {
		w := &window{seed: maphash.MakeSeed(), now: map[uint64]int64{}}
		if err := scan.Stream(ctx, a.rdb, rediskey.Stream(p), entryid.ID{}, end, func(page []redis.XMessage) error {
			return a.page(ctx, p, page, w)
		}); err != nil {
			return fmt.Errorf("audit partition %d: %w", p, err)
		}
		a.o.Progress("comparing entries", float64(p+1)/float64(len(ends)))
	}
	return nil
}

func (a *audit) page(ctx context.Context, p int, page []redis.XMessage, w *window) error {
	places := make([]store.Place, 0, len(page))
	for _, m := range page {
		a.report.Entries++
		e, _ := event.DecodeEntry(m.Values) // as far as it can be read
		if e.Channel.IsZero() || e.Seq < 1 || e.ID.IsZero() || a.log.Partition(e.Channel.UUID) != p {
			continue // a dead letter without a place
		}
		places = append(places, store.Place{Channel: e.Channel, Seq: e.Seq, ID: e.ID})
		id, _ := entryid.Parse(m.ID) // Redis wrote it
		if seq, twice := w.twice(e, id.Ms); twice {
			a.add(Duplicate, e.Channel, e.Seq, e.Seq, fmt.Sprintf("seq %d has the same sender and client_id", seq))
		}
	}
	found, err := a.store.Look(ctx, places)
	if err != nil {
		return err
	}
	for i, f := range found {
		a.compare(places[i], f)
	}
	return nil
}

func (a *audit) compare(p store.Place, f store.Found) {
	_, dead := a.letters[place{p.Channel, p.Seq}]
	switch {
	case f.Stored(p):
	case !f.Held:
		a.add(Missing, p.Channel, p.Seq, p.Seq, "the stream has it: --repair, or replay")
	case f.Dropped || dead:
	case f.Kind == event.Failed:
		a.add(NoLetter, p.Channel, p.Seq, p.Seq, "the stream has it: --repair, or replay")
	default:
		a.add(Conflict, p.Channel, p.Seq, p.Seq, fmt.Sprintf("the row is the %s %s, the entry the event %s", f.Kind, f.ID, p.ID))
	}
}

// Broken returns the channels for which the streams may hold what the rows lack.
func (r *Report) Broken() []chat.ChannelID {
	seen := map[chat.ChannelID]struct{}{}
	var list []chat.ChannelID
	for _, p := range r.Problems {
		if _, twice := seen[p.Channel]; !twice && p.Kind != Duplicate && p.Kind != Behind {
			seen[p.Channel] = struct{}{}
			list = append(list, p.Channel)
		}
	}
	return list
}

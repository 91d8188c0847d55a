// Package audit checks, on a live system, whether every acknowledged event is stored.
//
// It first reads the counters of all channels and then the last entry id of every stream, so that
// these ids cover every event up to the counters. It waits until the consumer group has stored and
// acknowledged all entries up to these ids. Then it checks that each channel has a row for each seq
// up to its counter. Each entry that is still in a stream must have its row, or a tombstone and a
// dead letter.
//
// Once an entry has been trimmed, only PostgreSQL still has its event. For these events, the audit
// checks that every seq from 1 to the counter has a row, and counts the tombstones among the rows.
// Unique keys ensure that no two rows have the same seq or event id. It can no longer check that a
// row matches its entry.
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
	"parley.chat/internal/eventlog/appender"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/deadletter"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/lag"
	"parley.chat/sync-service/internal/scan"
	"parley.chat/sync-service/internal/store"
)

// The kinds of problems.
const (
	Hole         = "hole"           // a seq, at or below the counter, that has no row
	Missing      = "missing"        // a stream entry that has no row; a replay restores it
	Conflict     = "conflict"       // the event of an entry is not stored; another event or a tombstone holds its seq
	Duplicate    = "duplicate"      // a sender's client id has two seqs within the idempotency window
	NoDeadLetter = "no_dead_letter" // a "failed" tombstone that has no dead letter, although no operator has dropped it
	Behind       = "counter_behind" // PostgreSQL has seqs above the counter: Redis has lost writes
	MaxHoles     = 1000             // maximum number of holes reported per channel
)

// Problem describes an inconsistency in a range of seqs of one channel.
type Problem struct {
	Kind    string         `json:"kind"`
	Channel chat.ChannelID `json:"channel_id"`
	store.Range
	Note string `json:"note,omitempty"`
}

// Report is the result of an audit.
type Report struct {
	Channels   int       `json:"channels"`   // audited channels
	Rows       int64     `json:"rows"`       // rows up to the counters
	Tombstones int64     `json:"tombstones"` // rows without an event
	Entries    int64     `json:"entries"`    // stream entries, each compared with its row
	Dead       int64     `json:"dead"`       // dead letters
	Problems   []Problem `json:"problems"`
	Repaired   int64     `json:"repaired"` // rows stored by --repair
	Lost       int64     `json:"lost"`     // tombstones stored by --repair for seqs that were found nowhere
}

// Clean reports whether the audit found no problems.
func (r *Report) Clean() bool { return len(r.Problems) == 0 }

// ErrGroupBehind is returned if the consumer group needs longer than Options.Wait to store the
// entries that existed when the audit began.
var ErrGroupBehind = errors.New("the consumer group has not stored the entries that existed when the audit began")

// Options configure an audit.
type Options struct {
	Partitions int
	Wait       time.Duration // how long to wait for the consumer group; default 30s
	Progress   func(what string, done float64)
}

// Store is the part of store.Store that an audit needs.
type Store interface {
	Lookup(ctx context.Context, refs []store.EventRef) ([]store.Found, error)
	Channels(ctx context.Context, after chat.ChannelID, limit int) ([]store.ChannelRows, error)
	Counts(ctx context.Context, channel chat.ChannelID, upTo int64) (store.ChannelRows, error)
	Holes(ctx context.Context, channel chat.ChannelID, upTo int64, limit int) ([]store.Range, error)
}

type audit struct {
	rdb         redis.UniversalClient
	log         *eventlog.Log
	store       Store
	o           Options
	heads       map[chat.ChannelID]int64
	deadLetters map[channelSeq]struct{}
	report      Report
}

type channelSeq struct {
	channel chat.ChannelID
	seq     int64
}

// Run performs an audit. An error means that the audit could not be completed.
func Run(ctx context.Context, rdb redis.UniversalClient, s Store, o Options) (Report, error) {
	if o.Wait == 0 {
		o.Wait = 30 * time.Second
	}
	if o.Progress == nil {
		o.Progress = func(string, float64) {}
	}
	a := &audit{
		rdb: rdb, log: eventlog.New(rdb, o.Partitions), store: s, o: o,
		heads: map[chat.ChannelID]int64{}, deadLetters: map[channelSeq]struct{}{},
	}
	a.report.Problems = []Problem{}
	if err := a.readCounters(ctx); err != nil {
		return a.report, err
	}
	ends, err := scan.Ends(ctx, rdb, o.Partitions)
	if err != nil {
		return a.report, err
	}
	if err := a.awaitGroup(ctx, ends); err != nil {
		return a.report, err
	}
	if err := a.readDeadLetters(ctx); err != nil {
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

// readCounters reads the counter of every channel that has one.
func (a *audit) readCounters(ctx context.Context) error {
	var channels []chat.ChannelID
	var mu sync.Mutex // guards channels: in Redis Cluster, several nodes are scanned concurrently
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

// awaitGroup waits until the consumer group has stored and acknowledged all entries up to the given
// ends of the streams.
func (a *audit) awaitGroup(ctx context.Context, ends []entryid.ID) error {
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
			return fmt.Errorf("%w within %v: %s", ErrGroupBehind, a.o.Wait, strings.Join(behind, "; "))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// unsettled describes the partition's entries up to end that are not yet stored and acknowledged.
// It returns "" if there are none.
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

func (a *audit) readDeadLetters(ctx context.Context) error {
	return deadletter.Each(ctx, a.rdb, a.o.Partitions, func(l deadletter.Letter) error {
		a.report.Dead++
		a.deadLetters[channelSeq{l.Event.Channel, l.Event.Seq}] = struct{}{}
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
	for c, head := range a.heads { // channels without rows
		if _, ok := seen[c]; !ok && head > 0 {
			a.report.Channels++
			a.add(Hole, c, 1, head, "")
		}
	}
	return nil
}

func (a *audit) channel(ctx context.Context, c store.ChannelRows, head int64, counted bool) error {
	a.report.Channels++
	if counted && c.Last > head { // events arrived after the counter was read, or the counter is behind
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
	a.report.Tombstones += counts.Tombstones
	if counts.Rows == upTo {
		return nil
	}
	holes, err := a.store.Holes(ctx, c.Channel, upTo, MaxHoles)
	for _, h := range holes {
		a.add(Hole, c.Channel, h.From, h.To, "")
	}
	return err
}

func (a *audit) add(kind string, c chat.ChannelID, from, to int64, note string) {
	a.report.Problems = append(a.report.Problems, Problem{Kind: kind, Channel: c, Range: store.Range{From: from, To: to}, Note: note})
}

// window records the seqs of the events that were appended within the idempotency window. It takes
// the current time from the entry ids. It uses two maps, each of which covers half of the window.
type window struct {
	seed     maphash.Seed
	now, old map[uint64]int64 // maps the digest of the channel, sender and client id to the seq
	since    int64            // entry time, in ms, at which the current half window (map now) began
}

// duplicate returns the seq of an earlier event with the same channel, sender and client id, if
// any.
func (w *window) duplicate(e event.Entry, ms int64) (int64, bool) {
	if e.ClientID.IsZero() || !e.Kind.FromMember() {
		return 0, false
	}
	if half := appender.IdempotencyWindow.Milliseconds() / 2; ms-w.since > half {
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

// streams compares the entries that are still in the streams with the rows.
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
	refs := make([]store.EventRef, 0, len(page))
	for _, m := range page {
		a.report.Entries++
		e, _ := event.DecodeEntry(m.Values) // the fields that can be decoded
		if e.Channel.IsZero() || e.Seq < 1 || e.ID.IsZero() || a.log.Partition(e.Channel.UUID) != p {
			continue // an entry without these fields has become a dead letter, and its row cannot be looked up
		}
		refs = append(refs, store.EventRef{Channel: e.Channel, Seq: e.Seq, ID: e.ID})
		id, _ := entryid.Parse(m.ID) // generated by Redis, so it is valid
		if seq, ok := w.duplicate(e, id.Ms); ok {
			a.add(Duplicate, e.Channel, e.Seq, e.Seq, fmt.Sprintf("seq %d has the same sender and client_id", seq))
		}
	}
	found, err := a.store.Lookup(ctx, refs)
	if err != nil {
		return err
	}
	for i, f := range found {
		a.compare(refs[i], f)
	}
	return nil
}

func (a *audit) compare(p store.EventRef, f store.Found) {
	_, dead := a.deadLetters[channelSeq{p.Channel, p.Seq}]
	switch {
	case f.Stored(p):
	case !f.Held:
		a.add(Missing, p.Channel, p.Seq, p.Seq, "in the stream; run verify --repair or replay")
	case f.Dropped || dead:
	case f.Kind == event.Failed:
		a.add(NoDeadLetter, p.Channel, p.Seq, p.Seq, "in the stream; run verify --repair or replay")
	default:
		a.add(Conflict, p.Channel, p.Seq, p.Seq, fmt.Sprintf("the row contains the %s %s, but the entry contains the event %s", f.Kind, f.ID, p.ID))
	}
}

// Broken returns the channels with missing rows that the streams may still contain.
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

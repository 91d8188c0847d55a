// Package unread counts what members have not read: the messages of others behind their read cursor, or
// their join, that are not deleted, and those of them that mention the member and whose sender has no block with
// the member.
//
// Nothing is kept: a count is what the log says when it is asked for, in two parts that meet without
// overlap. Below the first entry above the watermark everything is stored, and PostgreSQL counts; from
// there on everything is in the channel's tail, stored by now or not, and the tail counts. Questions that
// are asked together share the watermarks, the tail of each channel, and one query.
//
// A Counter is safe for concurrent use and starts no goroutine that outlives a call.
package unread

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/unstored"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// Most is where counting stops: it means "more than 999".
const Most = 1000

// Question asks what User has not read in Channel.
type Question struct {
	Channel chat.ChannelID
	User    chat.UserID
	After   int64 // counting begins behind it: the greater of the read cursor and the join
	UpTo    int64 // and ends with it: the last seq that the user is told of beside the count
}

// Count is the answer. Both are at most Most.
type Count struct{ Messages, Mentions int }

// Config configures a Counter. DB, whose role reads messages and sync_watermarks, and Log are required.
type Config struct {
	DB       *bun.DB
	Log      *eventlog.Log
	Patience time.Duration // that Redis has; beyond it what is stored is all that is counted; default 1s
	Logger   *slog.Logger  // default slog.Default()
}

// Counter counts.
type Counter struct {
	cfg Config

	mu     sync.Mutex // guards the two; not held while they are read anew
	marks  map[int]unstored.Mark
	marked time.Time
}

// marksLast is how long watermarks are good for. They only rise, so with those of before more of a tail is
// looked at than had to be, and nothing is missed; who counts often reads them seldom.
const marksLast = 100 * time.Millisecond

// watermarks returns those of now or of just before.
func (c *Counter) watermarks(ctx context.Context) (map[int]unstored.Mark, error) {
	c.mu.Lock()
	marks, marked := c.marks, c.marked
	c.mu.Unlock()
	if marks != nil && time.Since(marked) < marksLast {
		return marks, nil
	}
	began := time.Now()
	marks, err := unstored.Marks(ctx, c.cfg.DB)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marks, c.marked = marks, began
	return marks, nil
}

// New checks cfg.
func New(cfg Config) (*Counter, error) {
	if cfg.DB == nil || cfg.Log == nil {
		return nil, errors.New("unread: DB and Log are required")
	}
	cfg.Patience, cfg.Logger = cmp.Or(cfg.Patience, time.Second), cmp.Or(cfg.Logger, slog.Default())
	return &Counter{cfg: cfg}, nil
}

// Count answers questions, in their order. While Redis does not answer it counts what is stored.
func (c *Counter) Count(ctx context.Context, questions []Question) ([]Count, error) {
	counts := make([]Count, len(questions))
	channels := make(map[chat.ChannelID]*part)
	for _, q := range questions {
		if q.UpTo <= q.After {
			continue
		}
		p, ok := channels[q.Channel]
		if !ok {
			p = &part{after: q.After, upTo: q.UpTo, split: math.MaxInt64}
			channels[q.Channel] = p
		}
		p.after, p.upTo = min(p.after, q.After), min(p.upTo, q.UpTo)
	}
	if len(channels) == 0 {
		return counts, nil
	}
	if err := c.split(ctx, channels); err != nil {
		return nil, err
	}
	if err := c.countStored(ctx, questions, channels, counts); err != nil {
		return nil, err
	}
	blocked, err := c.blocked(ctx, questions, channels)
	if err != nil {
		return nil, err
	}
	for i, q := range questions {
		if p := channels[q.Channel]; p != nil {
			p.count(q, &counts[i], blocked)
		}
		counts[i].Messages, counts[i].Mentions = min(counts[i].Messages, Most), min(counts[i].Mentions, Most)
	}
	return counts, nil
}

// tailsAtOnce bounds the tails that are read side by side.
const tailsAtOnce = 8

// split finds what of each channel may not be stored yet: the watermarks first, then the tails above them.
func (c *Counter) split(ctx context.Context, channels map[chat.ChannelID]*part) error {
	marks, err := c.watermarks(ctx)
	if err != nil {
		return err
	}
	ids := make([]chat.ChannelID, 0, len(channels))
	for id := range channels {
		ids = append(ids, id)
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Patience)
	defer cancel()
	newest, err := c.cfg.Log.Newest(ctx, ids)
	if err != nil {
		c.cfg.Logger.WarnContext(ctx, "unread messages not all counted: Redis does not answer", "err", err)
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(tailsAtOnce)
	for i, id := range ids {
		mark, p := marks[c.cfg.Log.Partition(id.UUID)], channels[id]
		if newest[i] == nil || !mark.Before(newest[i].EntryID) {
			continue
		}
		g.Go(func() error {
			items, err := unstored.Above(ctx, c.cfg.Log, id, mark, p.enough)
			if err == nil && len(items) > 0 {
				err = p.take(id, items)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		c.cfg.Logger.WarnContext(ctx, "unread messages not all counted: a tail cannot be read", "err", err)
	}
	return nil
}

// enough reports whether no question needs what is older than items: there is nothing to count there, or
// whoever asks has more than is counted.
func (p *part) enough(items []event.Item) bool {
	if items[0].Seq <= p.after+1 {
		return true
	}
	n, most, by := 0, 0, make(map[chat.UserID]int)
	for _, it := range items {
		if it.Kind == event.Message && it.Seq <= p.upTo {
			n++
			by[it.Sender]++
			most = max(most, by[it.Sender])
		}
	}
	return n-most >= Most // whoever it is, so many are others'
}

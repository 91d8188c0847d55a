// Package unread counts the messages that a member has not read. It counts messages from other
// users that are not deleted and whose seqs are above both the member's read position and the seq
// of the member's join. It also counts the messages that mention the member, unless the sender or
// the member has blocked the other.
//
// Counts are not stored. Each count is the sum over two parts of the channel, which do not overlap.
// They are separated by the channel's first entry above the watermark. All events before that entry
// are stored, and PostgreSQL counts them. That entry and all later ones are in the channel's tail,
// even if they have been stored in the meantime, and are counted there. All Questions of one call
// share the same watermarks, tails and PostgreSQL query.
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
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// MaxCount is the value at which counting stops; it means "more than 999".
const MaxCount = 1000

// Question is a request for the number of messages in Channel that User has not read.
type Question struct {
	Channel chat.ChannelID
	User    chat.UserID
	After   int64 // count only messages above this seq: the member's read position or join, whichever is greater
	UpTo    int64 // count only messages up to this seq, the last one in the same response as the count
}

// Count is the answer to a Question: the number of unread messages, and the number of unread
// messages that mention the user. Each number is at most MaxCount.
type Count struct{ Messages, Mentions int }

// Config configures a Counter. DB and Log are required; DB's role must be able to read messages and
// sync_watermarks.
type Config struct {
	DB  *bun.DB
	Log *eventlog.Log
	// RedisTimeout limits reads from Redis; default 1s. If it expires, only stored messages are
	// counted.
	RedisTimeout time.Duration
	Logger       *slog.Logger // default slog.Default()
}

// Counter counts unread messages.
type Counter struct {
	cfg Config

	mu     sync.Mutex // guards marks and marked; not held while watermarks are read
	marks  map[int]unstored.Mark
	marked time.Time
}

// marksTTL is the time for which watermarks are reused, so that frequent counts rarely have to read
// them. Watermarks only rise. With an outdated watermark, a count reads more of the tail than
// necessary, but misses no message.
const marksTTL = 100 * time.Millisecond

// watermarks returns watermarks that were read at most marksTTL ago. If it has none, it reads the
// current ones.
func (c *Counter) watermarks(ctx context.Context) (map[int]unstored.Mark, error) {
	c.mu.Lock()
	marks, marked := c.marks, c.marked
	c.mu.Unlock()
	if marks != nil && time.Since(marked) < marksTTL {
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

// New returns a Counter; it fails if cfg is incomplete.
func New(cfg Config) (*Counter, error) {
	if cfg.DB == nil || cfg.Log == nil {
		return nil, errors.New("unread: DB and Log are required")
	}
	cfg.RedisTimeout, cfg.Logger = cmp.Or(cfg.RedisTimeout, time.Second), cmp.Or(cfg.Logger, slog.Default())
	return &Counter{cfg: cfg}, nil
}

// Count returns the answers to questions, in the same order. While Redis is not responding, it
// counts only stored messages.
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
		counts[i].Messages, counts[i].Mentions = min(counts[i].Messages, MaxCount), min(counts[i].Mentions, MaxCount)
	}
	return counts, nil
}

// maxConcurrentTails limits how many tails are read at the same time.
const maxConcurrentTails = 8

// split reads the part of each channel that may not be stored yet. It reads the watermarks first
// and then the tails above them.
func (c *Counter) split(ctx context.Context, channels map[chat.ChannelID]*part) error {
	marks, err := c.watermarks(ctx)
	if err != nil {
		return err
	}
	ids := make([]chat.ChannelID, 0, len(channels))
	for id := range channels {
		ids = append(ids, id)
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RedisTimeout)
	defer cancel()
	newest, err := c.cfg.Log.Newest(ctx, ids)
	if err != nil {
		c.cfg.Logger.WarnContext(ctx, "unread counts are incomplete: Redis does not answer", "err", err)
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxConcurrentTails)
	for i, id := range ids {
		mark, p := marks[c.cfg.Log.Partition(id.UUID)], channels[id]
		if newest[i] == nil || !mark.Before(newest[i].EntryID) {
			continue
		}
		g.Go(func() error {
			items, err := unstored.Above(ctx, c.cfg.Log, id, mark, p.enough)
			if err == nil && len(items) > 0 {
				err = p.addTail(id, items)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		c.cfg.Logger.WarnContext(ctx, "unread counts incomplete: a tail cannot be read", "err", err)
	}
	return nil
}

// enough reports whether the Questions about the channel can be answered without reading older
// items. Either no Question counts older messages, or every count has already reached MaxCount.
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
	return n-most >= MaxCount // n-most is a lower bound on the number of messages from others, for every user
}

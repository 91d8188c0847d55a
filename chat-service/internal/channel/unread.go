package channel

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"parley.chat/internal/mention"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"

	"parley.chat/chat-service/internal/unstored"
)

// maxUnread is where counting stops: it means "more than 999".
const maxUnread = 1000

// behind is a channel that the user has not read to its end, in two parts: below split every event is
// stored, and from there on all are in items, whether they are stored by now or not.
type behind struct {
	row   *listed
	read  int64 // counting starts after it: the read cursor, or the join
	split int64
	items []event.Item
	gone  []chat.EventID // messages that items delete
}

// unread counts, for each channel that the user is a member of, the messages of others after what they
// have read that are not deleted, and those of them that mention the user. What is stored and deleted has
// no body any more, which no other message is without.
func (s *Service) unread(ctx context.Context, user chat.UserID, rows []listed) error {
	var list []*behind
	for i := range rows {
		read := max(rows[i].JoinedSeq, rows[i].LastReadSeq)
		if rows[i].Role != "" && rows[i].lastSeq > read {
			list = append(list, &behind{row: &rows[i], read: read, split: math.MaxInt64})
		}
	}
	if len(list) == 0 {
		return nil
	}
	if err := s.split(ctx, user, list); err != nil {
		return err
	}
	if err := s.countStored(ctx, user, list); err != nil {
		return err
	}
	for _, b := range list {
		b.countItems(user)
		b.row.unread, b.row.mentions = min(b.row.unread, maxUnread), min(b.row.mentions, maxUnread)
	}
	return nil
}

// split finds what of each channel may not be stored yet. While Redis does not answer, what PostgreSQL
// has is all that there is.
func (s *Service) split(ctx context.Context, user chat.UserID, list []*behind) error {
	marks, err := unstored.Marks(ctx, s.cfg.DB)
	if err != nil {
		return err
	}
	ids := make([]chat.ChannelID, len(list))
	for i, b := range list {
		ids[i] = b.row.ID
	}
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	newest, err := s.cfg.Log.Newest(ctx, ids)
	if err != nil {
		s.cfg.Logger.WarnContext(ctx, "unread messages not all counted: Redis does not answer", "err", err)
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, b := range list {
		mark := marks[s.cfg.Log.Partition(b.row.ID.UUID)]
		if newest[i] == nil || !mark.Before(newest[i].EntryID) {
			continue
		}
		g.Go(func() error {
			items, err := unstored.Above(ctx, s.cfg.Log, b.row.ID, mark, func(items []event.Item) bool {
				return items[0].Seq <= b.read+1 || fromOthers(items, user) >= maxUnread
			})
			if err == nil && len(items) > 0 {
				b.items, b.split = items, items[0].Seq
				b.gone, err = deletedBy(items)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		s.cfg.Logger.WarnContext(ctx, "unread messages not all counted: the tail cannot be read", "err", err)
	}
	return nil
}

func fromOthers(items []event.Item, user chat.UserID) (n int) {
	for _, it := range items {
		if it.Kind == event.Message && it.Sender != user {
			n++
		}
	}
	return n
}

// deletedBy returns the messages that are deleted by events among items.
func deletedBy(items []event.Item) ([]chat.EventID, error) {
	var gone []chat.EventID
	for _, it := range items {
		if it.Kind != event.Delete {
			continue
		}
		e, err := frame.DecodeEvent(it.Frame)
		if err != nil {
			return nil, fmt.Errorf("read deletion %d: %w", it.Seq, err)
		}
		if e.MessageID != nil {
			gone = append(gone, *e.MessageID)
		}
	}
	return gone, nil
}

// countStored counts below the split: for the mentions by an index of their own, which has no other
// messages.
func (s *Service) countStored(ctx context.Context, user chat.UserID, list []*behind) error {
	at := make(map[chat.ChannelID]*behind, len(list))
	var ids []chat.ChannelID
	var from, below []int64
	var gone []chat.EventID
	for _, b := range list {
		at[b.row.ID] = b
		ids, from, below = append(ids, b.row.ID), append(from, b.read), append(below, b.split)
		gone = append(gone, b.gone...)
	}
	which := bun.SafeQuery(`from messages m where m.channel_id = k.id and m.seq > k.read and m.seq < k.split
		and m.kind = 'message' and m.sender_id <> ? and m.body <> ''`, user)
	but := bun.SafeQuery("")
	if len(gone) > 0 {
		but = bun.SafeQuery("and m.id not in (?)", bun.List(gone))
	}
	var counts []struct {
		ID       chat.ChannelID `bun:"id,type:uuid"`
		Unread   int            `bun:"unread"`
		Mentions int            `bun:"mentions"`
	}
	err := s.cfg.DB.NewRaw(`select k.id,
			(select count(*) from (select ? ? limit ?) n) as unread,
			(select count(*) from (select ? ? and m.data -> 'mentions' is not null
				and jsonb_exists_any(m.data -> 'mentions', array[?, k.id::text]) limit ?) n) as mentions
		from unnest(array[?]::uuid[], array[?]::bigint[], array[?]::bigint[]) k (id, read, split)`,
		which, but, maxUnread, which, but, user, maxUnread, bun.List(ids), bun.List(from), bun.List(below)).Scan(ctx, &counts)
	if err != nil {
		return fmt.Errorf("count unread messages of %d channels: %w", len(ids), err)
	}
	for _, c := range counts {
		at[c.ID].row.unread, at[c.ID].row.mentions = c.Unread, c.Mentions
	}
	return nil
}

// countItems counts from the split on.
func (b *behind) countItems(user chat.UserID) {
	for _, it := range b.items {
		if it.Seq <= b.read || it.Kind != event.Message || it.Sender == user {
			continue
		}
		// Most mention nobody, which shows without reading the frame: inside of a text the quotes would be
		// escaped.
		if len(b.gone) == 0 && bytes.Contains(it.Frame, []byte(`"mentions":[]`)) {
			b.row.unread++
			continue
		}
		e, err := frame.DecodeEvent(it.Frame)
		if err != nil || slices.Contains(b.gone, e.ID) {
			continue
		}
		b.row.unread++
		if slices.Contains(e.Mentions, user) || slices.Contains(e.Mentions, mention.All(b.row.ID)) {
			b.row.mentions++
		}
	}
}

package channel

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// maxUnread is where counting stops: it means "more than 999".
const maxUnread = 1000

// unread counts, for each channel that the user is a member of, the messages of others after what they
// have read. Those that PostgreSQL has are counted there; those above its newest row, in the tail.
func (s *Service) unread(ctx context.Context, user chat.UserID, rows []listed, heads []int64) ([]int, error) {
	counts := make([]int, len(rows))
	var ids []chat.ChannelID
	var from []int64
	at := map[chat.ChannelID]int{}
	for i := range rows {
		read := max(rows[i].JoinedSeq, rows[i].LastReadSeq)
		if rows[i].Role == "" || heads[i] <= read {
			continue
		}
		at[rows[i].ID] = i
		ids, from = append(ids, rows[i].ID), append(from, read)
	}
	if len(ids) == 0 {
		return counts, nil
	}
	var stored []struct {
		ID    chat.ChannelID `bun:"id,type:uuid"`
		Count int            `bun:"count"`
		Top   int64          `bun:"top"`
	}
	// None is counted twice: above the newest row of this very statement the tail counts. One that is
	// stored out of turn, below it, may be missed for a moment; the pages of history miss none.
	err := s.cfg.DB.NewRaw(`select k.id,
			(select count(*) from (select 1 from messages m where m.channel_id = k.id and m.seq > k.read
				and m.kind = 'message' and m.sender_id <> ? limit ?) n) as count,
			coalesce((select seq from messages m where m.channel_id = k.id order by seq desc limit 1), 0) as top
		from unnest(array[?]::uuid[], array[?]::bigint[]) k (id, read)`, user, maxUnread, bun.List(ids), bun.List(from)).Scan(ctx, &stored)
	if err != nil {
		return nil, fmt.Errorf("count unread messages of %d channels: %w", len(ids), err)
	}
	for _, r := range stored {
		i := at[r.ID]
		counts[i] = r.Count
		above := max(r.Top, rows[i].JoinedSeq, rows[i].LastReadSeq)
		if heads[i] <= above || r.Count >= maxUnread {
			continue
		}
		counts[i] = min(maxUnread, r.Count+s.unstored(ctx, user, r.ID, above, heads[i]))
	}
	return counts, nil
}

// unstored counts the messages of others in the tail above a seq.
func (s *Service) unstored(ctx context.Context, user chat.UserID, channel chat.ChannelID, above, head int64) int {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	items, err := s.cfg.Log.Tail(ctx, channel, int(min(head-above, maxUnread)))
	if err != nil {
		s.cfg.Logger.WarnContext(ctx, "unread messages not counted: Redis does not answer", "err", err)
		return 0
	}
	n := 0
	for _, it := range items {
		if it.Seq > above && it.Kind == event.Message && it.Sender != user {
			n++
		}
	}
	return n
}

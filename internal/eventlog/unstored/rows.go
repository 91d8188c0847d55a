package unstored

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/chat"
)

// Rows implements eventlog.Stored by reading PostgreSQL. The role of DB must be able to read the
// messages and sync_watermarks tables.
type Rows struct{ DB *bun.DB }

// Seqs returns the highest stored seq of each channel, in the given order. The seq is 0 for a
// channel without stored events.
func (r Rows) Seqs(ctx context.Context, channels []chat.ChannelID) ([]int64, error) {
	ids := make([][16]byte, len(channels))
	for i, c := range channels {
		ids[i] = c.UUID
	}
	seqs := make([]int64, 0, len(channels))
	err := database.Prepared(ctx, r.DB, `select coalesce((select max(seq) from messages where channel_id = c), 0)
		from unnest($1::uuid[]) with ordinality as r (c, n) order by n`, []any{ids}, func(rows pgx.Rows) error {
		var seq int64
		err := rows.Scan(&seq)
		seqs = append(seqs, seq)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the newest rows of %d channels: %w", len(channels), err)
	}
	return seqs, nil
}

// MaxSeq returns the highest stored seq of a channel, or 0 if nothing is stored.
func (r Rows) MaxSeq(ctx context.Context, channel chat.ChannelID) (int64, error) {
	seqs, err := r.Seqs(ctx, []chat.ChannelID{channel})
	if err != nil {
		return 0, err
	}
	return seqs[0], nil
}

// Watermark returns the entry id up to which a partition is stored, or "0-0" if nothing is stored.
func (r Rows) Watermark(ctx context.Context, partition int) (string, error) {
	m, err := MarkOf(ctx, r.DB, partition)
	return fmt.Sprintf("%d-%d", m.MS, m.Seq), err
}

package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// Receipt is a lower bound for a member's delivered and read positions in a channel. Read is never
// greater than Delivered.
type Receipt struct {
	Channel         chat.ChannelID
	User            chat.UserID
	Delivered, Read int64
}

// ReceiptsOf returns the receipts in an entry of a receipts stream.
func ReceiptsOf(r event.Receipts) []Receipt {
	receipts := make([]Receipt, len(r.Moves))
	for i, m := range r.Moves {
		receipts[i] = Receipt{r.Channel, m.User, m.Delivered, m.Read}
	}
	return receipts
}

// receiptChunk is the maximum number of receipts, and so of locked rows, in one statement.
const receiptChunk = 5000

// raiseReceipts locks the rows in a fixed order, so that instances that raise the same receipts at
// the same time wait for each other instead of deadlocking. It skips members that are not in the
// database, and receipts that are already stored, so most repeated receipts cause no write.
const raiseReceipts = `with move as (
		select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) as r (channel, member, delivered, seen)
	), behind as (
		select m.channel_id, m.user_id, r.delivered, r.seen
		from move r join channel_members m on m.channel_id = r.channel and m.user_id = r.member
		where m.last_delivered_seq < r.delivered or m.last_read_seq < r.seen
		order by m.channel_id, m.user_id for no key update of m
	)
	update channel_members m set last_delivered_seq = greatest(m.last_delivered_seq, b.delivered),
		last_read_seq = greatest(m.last_read_seq, b.seen)
	from behind b where m.channel_id = b.channel_id and m.user_id = b.user_id`

// RaiseReceipts raises the stored receipts of members and returns the number of raised rows. It
// never lowers a receipt. Each member may appear only once. Calls may be repeated and reordered.
func (s *Store) RaiseReceipts(ctx context.Context, receipts []Receipt) (raised int64, err error) {
	for some := range slices.Chunk(receipts, receiptChunk) {
		channels, users := make([]pgtype.UUID, len(some)), make([]pgtype.UUID, len(some))
		delivered, read := make([]int64, len(some)), make([]int64, len(some))
		for i, c := range some {
			channels[i], users[i], delivered[i], read[i] = known(c.Channel.UUID), known(c.User.UUID), c.Delivered, c.Read
		}
		if err := s.onConn(ctx, func(conn *pgx.Conn) error {
			tag, err := conn.Exec(ctx, raiseReceipts, channels, users, delivered, read)
			raised += tag.RowsAffected()
			return err
		}); err != nil {
			return raised, fmt.Errorf("raise %d receipts: %w", len(some), err)
		}
	}
	return raised, nil
}

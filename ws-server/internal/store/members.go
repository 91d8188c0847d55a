package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun/dialect/pgdialect"

	"parley.chat/internal/database"
	"parley.chat/shared-contracts/chat"
)

// Place is a user in a channel.
type Place struct {
	Channel chat.ChannelID
	User    chat.UserID
}

// Blocked tells of each channel, in their order, whether it is a direct one of whose two users one has
// blocked the other.
func (s *Store) Blocked(ctx context.Context, channels []chat.ChannelID) ([]bool, error) {
	ids := make([]string, len(channels))
	for i, c := range channels {
		ids[i] = c.String()
	}
	var blocked []bool
	err := s.db.NewRaw(`select direct_blocked(w.id) from unnest(?::uuid[]) with ordinality as w(id, n) order by w.n`,
		pgdialect.Array(ids)).Scan(ctx, &blocked)
	if err != nil {
		return nil, unavailable(err, "look for blocks in %d channels", len(channels))
	}
	return blocked, nil
}

// departed looks each place up by itself, whatever the planner makes of their number: a join would read whole
// tables to verify five hundred.
const departed = `
	select w.n from unnest($1::uuid[], $2::uuid[]) with ordinality as w(channel_id, user_id, n)
	where (select c.deleted_at is not null from channel_members m join channels c on c.id = m.channel_id
	       where m.channel_id = w.channel_id and m.user_id = w.user_id) is not false`

// Departed returns those of places whose user is no member of the channel, or whose channel is gone.
func (s *Store) Departed(ctx context.Context, places []Place) ([]Place, error) {
	var found []Place
	err := database.Prepared(ctx, s.db, departed, columns(places), func(rows pgx.Rows) error {
		var n int
		err := rows.Scan(&n)
		if err == nil {
			found = append(found, places[n-1])
		}
		return err
	})
	if err != nil {
		return nil, unavailable(err, "verify %d memberships", len(places))
	}
	return found, nil
}

// columns returns places as two arguments of a query: the channels, and the users.
func columns(places []Place) []any {
	channels, users := make([][16]byte, len(places)), make([][16]byte, len(places))
	for i, p := range places {
		channels[i], users[i] = p.Channel.UUID, p.User.UUID
	}
	return []any{channels, users}
}

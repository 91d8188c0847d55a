package store

import (
	"context"

	"github.com/uptrace/bun/dialect/pgdialect"

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

// Departed returns those of places whose user is no member of the channel, or whose channel is gone.
func (s *Store) Departed(ctx context.Context, places []Place) ([]Place, error) {
	channels, users := make([]string, len(places)), make([]string, len(places))
	for i, p := range places {
		channels[i], users[i] = p.Channel.String(), p.User.String()
	}
	var numbers []int
	err := s.db.NewRaw(`
		select w.n from unnest(?::uuid[], ?::uuid[]) with ordinality as w(channel_id, user_id, n)
		where not exists (
		  select 1 from channel_members m join channels c on c.id = m.channel_id
		  where m.channel_id = w.channel_id and m.user_id = w.user_id and c.deleted_at is null)`,
		pgdialect.Array(channels), pgdialect.Array(users)).Scan(ctx, &numbers)
	if err != nil {
		return nil, unavailable(err, "verify %d memberships", len(places))
	}
	departed := make([]Place, len(numbers))
	for i, n := range numbers {
		departed[i] = places[n-1]
	}
	return departed, nil
}

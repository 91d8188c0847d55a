package mention

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/text"
)

// Name is a mentioned username, in lower case, together with the channel of the message.
type Name struct {
	Channel chat.ChannelID
	Name    string
}

// Lookup returns the ids of the members with the given names, in the same order. The id is zero if
// no member has the name.
type Lookup func(ctx context.Context, names []Name) ([]chat.UserID, error)

// Finder finds the users that a body mentions.
type Finder struct{ look Lookup }

// NewFinder returns a Finder that reads from db. The role of db must be able to read
// channel_members and the names of users.
func NewFinder(db bun.IDB) *Finder { return &Finder{look: Members(db)} }

// FinderBy returns a Finder that resolves names with look.
func FinderBy(look Lookup) *Finder { return &Finder{look: look} }

// Find returns the ids of the channel members that a body mentions, without duplicates, in the
// order in which they are named. If the body contains @channel, the list begins with the channel's
// own id. Names that belong to no member are ignored. A body without an @ needs no query. If the
// query fails, Find still returns a mention of @channel, which needs no query.
func (f *Finder) Find(ctx context.Context, channel chat.ChannelID, body string) ([]chat.UserID, error) {
	if strings.IndexByte(body, '@') < 0 {
		return nil, nil
	}
	p := text.ParseMentions(body)
	if p.None() {
		return nil, nil
	}
	var found []chat.UserID
	if p.Everyone {
		found = append(found, All(channel))
	}
	if len(p.Names) == 0 {
		return found, nil
	}
	var names []Name
	for _, name := range slices.Concat(p.Names...) {
		names = append(names, Name{channel, name})
	}
	ids, err := f.look(ctx, names)
	if err != nil {
		return found, fmt.Errorf("find mentioned members of channel %s: %w", channel, err)
	}
	for _, meanings := range p.Names {
		members := ids[:len(meanings)]
		ids = ids[len(meanings):]
		i := slices.IndexFunc(members, func(id chat.UserID) bool { return !id.IsZero() })
		if i >= 0 && !slices.Contains(found, members[i]) {
			found = append(found, members[i])
		}
	}
	return found, nil
}

// All returns the id that represents @channel in a list of mentions: the channel's id as a user id.
func All(channel chat.ChannelID) chat.UserID { return chat.UserID{UUID: channel.UUID} }

// Members returns a Lookup that resolves all names with a single PostgreSQL query.
func Members(db bun.IDB) Lookup {
	return func(ctx context.Context, names []Name) ([]chat.UserID, error) {
		channels, wanted := make([]string, len(names)), make([]string, len(names))
		for i, n := range names {
			channels[i], wanted[i] = n.Channel.String(), n.Name
		}
		var rows []struct {
			N  int         `bun:"n"`
			ID chat.UserID `bun:"id,type:uuid"`
		}
		err := db.NewRaw(`select w.n, u.id from unnest(?::uuid[], ?::text[]) with ordinality w (channel_id, name, n)
			join users u on lower(u.username) = w.name and u.deleted_at is null
			where exists (select 1 from channel_members m where m.channel_id = w.channel_id and m.user_id = u.id)`,
			pgdialect.Array(channels), pgdialect.Array(wanted)).Scan(ctx, &rows)
		if err != nil {
			return nil, fmt.Errorf("resolve %d names: %w", len(names), err)
		}
		ids := make([]chat.UserID, len(names))
		for _, r := range rows {
			ids[r.N-1] = r.ID
		}
		return ids, nil
	}
}

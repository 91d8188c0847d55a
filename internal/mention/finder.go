package mention

import (
	"context"
	"fmt"
	"slices"
	"unicode"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/chat"
)

// wordy reports whether a rune outside ASCII belongs to words.
func wordy(r rune) bool {
	return r >= 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

// Finder finds the members behind names.
type Finder struct{ db bun.IDB }

// NewFinder returns a Finder on db, whose role reads channel_members and the names of users.
func NewFinder(db bun.IDB) *Finder { return &Finder{db: db} }

// Find returns whom a body mentions: members of the channel, in the order in which they are named, each
// once. For @channel the list begins with the channel's own id. Names that no member has mention nobody.
// A body without an @ costs no read.
func (f *Finder) Find(ctx context.Context, channel chat.ChannelID, body string) ([]chat.UserID, error) {
	p := Parse(body)
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
	ids, err := f.members(ctx, channel, slices.Concat(p.Names...))
	if err != nil {
		return nil, err
	}
	for _, meanings := range p.Names {
		for _, name := range meanings {
			if id, ok := ids[name]; ok {
				if !slices.Contains(found, id) {
					found = append(found, id)
				}
				break
			}
		}
	}
	return found, nil
}

// All is how @channel stands in a list of mentions: the channel's id in the place of a user's.
func All(channel chat.ChannelID) chat.UserID { return chat.UserID{UUID: channel.UUID} }

// members returns those of the names, all in lower case, that are members' names.
func (f *Finder) members(ctx context.Context, channel chat.ChannelID, names []string) (map[string]chat.UserID, error) {
	var rows []struct {
		ID   chat.UserID `bun:"id,type:uuid"`
		Name string      `bun:"name"`
	}
	err := f.db.NewRaw(`select u.id, lower(u.username) as name from users u
		where lower(u.username) in (?) and u.deleted_at is null
		and exists (select 1 from channel_members m where m.channel_id = ? and m.user_id = u.id)`,
		bun.List(names), channel).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("find mentioned members of channel %s: %w", channel, err)
	}
	ids := make(map[string]chat.UserID, len(rows))
	for _, r := range rows {
		ids[r.Name] = r.ID
	}
	return ids, nil
}

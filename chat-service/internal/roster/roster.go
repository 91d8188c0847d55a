// Package roster reads the members of channels and groups.
package roster

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/httpapi"
)

// ErrNone means that the user is not a member.
var ErrNone = apierr.New(apierr.NotFound, "This member does not exist.")

// Set identifies the members of one channel or group.
type Set struct {
	query string
	id    any
	of    string // the channel or group, for errors
	list  string // the operation that lists the members
}

// OfChannel returns the members of a channel.
func OfChannel(id chat.ChannelID) Set {
	return Set{selectMembers + "channel_members m" + joinUsers + "m.channel_id = ?", id, "channel " + id.String(), "listMembers"}
}

// OfGroup returns the members of a group.
func OfGroup(id chat.GroupID) Set {
	return Set{selectMembers + "group_members m" + joinUsers + "m.group_id = ?", id, "group " + id.String(), "listGroupMembers"}
}

const (
	selectMembers = "select m.user_id, u.username, u.display_name, m.role, m.joined_at from "
	joinUsers     = " join users u on u.id = m.user_id where "
)

// row is a member with their name.
type row struct {
	UserID      chat.UserID `bun:"user_id,type:uuid"`
	Username    string      `bun:"username"`
	DisplayName string      `bun:"display_name"`
	Role        chat.Role   `bun:"role"`
	JoinedAt    time.Time   `bun:"joined_at"`
}

func (r *row) member() api.Member {
	return api.Member{UserID: r.UserID, Username: r.Username, DisplayName: r.DisplayName, Role: r.Role, JoinedAt: chat.At(r.JoinedAt)}
}

// Get returns a member. It returns ErrNone if the user is not a member.
func (s Set) Get(ctx context.Context, db bun.IDB, user chat.UserID) (api.Member, error) {
	var r row
	err := db.NewRaw(s.query+" and m.user_id = ?", s.id, user).Scan(ctx, &r)
	if errors.Is(err, sql.ErrNoRows) {
		return api.Member{}, ErrNone
	}
	if err != nil {
		return api.Member{}, fmt.Errorf("load member of %s: %w", s.of, err)
	}
	return r.member(), nil
}

// position is the last member of a page; the next page begins after it.
type position struct {
	ID chat.UserID `json:"i"`
}

// Page returns a page of the members. It reads one range of the primary key, regardless of the
// number of members.
func (s Set) Page(ctx context.Context, db bun.IDB, cursor *string, limit int) (api.MemberPage, error) {
	var after position
	if _, err := httpapi.DecodeCursor(s.list, cursor, &after); err != nil {
		return api.MemberPage{}, err
	}
	var rows []row
	if err := db.NewRaw(s.query+" and m.user_id > ? order by m.user_id limit ?", s.id, after.ID, limit+1).Scan(ctx, &rows); err != nil {
		return api.MemberPage{}, fmt.Errorf("list members of %s: %w", s.of, err)
	}
	var page api.MemberPage
	if len(rows) > limit {
		rows = rows[:limit]
		page.NextCursor = httpapi.Cursor(s.list, position{rows[limit-1].UserID})
	}
	page.Items = make([]api.Member, len(rows))
	for i := range rows {
		page.Items[i] = rows[i].member()
	}
	return page, nil
}

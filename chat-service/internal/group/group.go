// Package group implements groups, their members and the members' roles. A group is a set of users
// with its own channels.
//
// A group is hidden from users who are not members. A user who leaves a group also leaves its
// channels, in the same transaction, and cannot enter any of them during that transaction. Package
// channel defines the lock order. A group has an owner as long as it has members, and is deleted
// when the last member leaves.
package group

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/platform/names"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/channel"
	"parley.chat/chat-service/internal/outbox"
)

// Service implements the endpoints for groups. It is safe for concurrent use.
type Service struct {
	db           *bun.DB
	poke         func()
	askStrangers bool
}

// New returns a Service that uses db. poke wakes the outbox relay. If askStrangers is set, users
// unknown to the inviter are invited instead of added.
func New(db *bun.DB, poke func(), askStrangers bool) *Service {
	return &Service{db, poke, askStrangers}
}

// The kinds of change that a notice about a group can announce.
const (
	added   = "added"
	removed = "removed"
	updated = "updated"
)

// row is a group as one of its members sees it.
type row struct {
	ID          chat.GroupID `bun:"id,type:uuid"`
	Name        string       `bun:"name"`
	Description string       `bun:"description"`
	CreatedBy   *chat.UserID `bun:"created_by,type:uuid"`
	CreatedAt   time.Time    `bun:"created_at"`
	Role        chat.Role    `bun:"role"`
	MemberCount int          `bun:"member_count"`
	SortName    string       `bun:"sort_name"`
}

func (r *row) group() api.Group {
	return api.Group{
		ID: r.ID, Name: r.Name, Description: r.Description, CreatedBy: r.CreatedBy, CreatedAt: chat.At(r.CreatedAt),
		Role: r.Role, MemberCount: r.MemberCount,
	}
}

const selectGroups = `select g.id, g.name, g.description, g.created_by, g.created_at, m.role, lower(g.name) as sort_name,
		(select count(*) from group_members n where n.group_id = g.id) as member_count
	from groups g join group_members m on m.group_id = g.id and m.user_id = ? where g.deleted_at is null`

// errNoGroup returns the error for a group that does not exist or is hidden from the user. A client
// must not be able to distinguish the two cases.
func errNoGroup() error { return apierr.New(apierr.NotFound, "This group does not exist.") }

// get returns a group to one of its members.
func (s *Service) get(ctx context.Context, group chat.GroupID, user chat.UserID) (api.Group, error) {
	var r row
	err := s.db.NewRaw(selectGroups+" and g.id = ?", user, group).Scan(ctx, &r)
	if errors.Is(err, sql.ErrNoRows) {
		return api.Group{}, errNoGroup()
	}
	if err != nil {
		return api.Group{}, fmt.Errorf("load group %s: %w", group, err)
	}
	return r.group(), nil
}

// position is the last group of a page; the next page begins after it.
type position struct {
	Name string       `json:"n"` // in lower case
	ID   chat.GroupID `json:"i"`
}

// list returns a page of the user's groups, sorted by name, and the position of the next page, if
// there is one.
func (s *Service) list(ctx context.Context, user chat.UserID, after *position, limit int) ([]api.Group, *position, error) {
	sql, args := selectGroups, []any{user}
	if after != nil {
		sql, args = sql+" and (lower(g.name), g.id) > (?, ?)", append(args, after.Name, after.ID)
	}
	var rows []row
	if err := s.db.NewRaw(sql+" order by lower(g.name), g.id limit ?", append(args, limit+1)...).Scan(ctx, &rows); err != nil {
		return nil, nil, fmt.Errorf("list groups: %w", err)
	}
	var next *position
	if len(rows) > limit {
		rows = rows[:limit]
		next = &position{rows[limit-1].SortName, rows[limit-1].ID}
	}
	groups := make([]api.Group, len(rows))
	for i := range rows {
		groups[i] = rows[i].group()
	}
	return groups, next, nil
}

// name returns the normalized form of a group's name.
func name(given string) (string, error) {
	clean, err := names.Clean(given)
	if err != nil {
		return "", apierr.Invalid("name", err)
	}
	return clean, nil
}

// create creates a group; the caller becomes its owner.
func (s *Service) create(ctx context.Context, by token.Claims, in api.GroupCreation) (api.Group, error) {
	r := row{ID: chat.NewGroupID(), CreatedBy: &by.UserID, CreatedAt: time.Now(), Role: chat.Owner, MemberCount: 1}
	var err error
	if r.Name, err = name(in.Name); err != nil {
		return api.Group{}, err
	}
	if in.Description != nil {
		r.Description = strings.TrimSpace(*in.Description)
	}
	err = s.run(ctx, "create group", func(ctx context.Context, tx bun.Tx) error {
		if _, err := channel.LockSelf(ctx, tx, by.UserID); err != nil {
			return err
		}
		_, err := tx.NewRaw(`insert into groups (id, name, description, created_by, created_at) values (?, ?, ?, ?, ?)`,
			r.ID, r.Name, r.Description, by.UserID, r.CreatedAt).Exec(ctx)
		if err != nil {
			return fmt.Errorf("insert group: %w", err)
		}
		_, err = tx.NewRaw("insert into group_members (group_id, user_id, role) values (?, ?, 'owner')", r.ID, by.UserID).Exec(ctx)
		if err != nil {
			return fmt.Errorf("add the owner: %w", err)
		}
		return outbox.Add(ctx, tx, outbox.GroupChange(r.ID, by.UserID, added, by.UserID))
	})
	return r.group(), err
}

// run runs do in a transaction and wakes the outbox relay after the commit. doing describes the
// operation in error messages.
func (s *Service) run(ctx context.Context, doing string, do func(context.Context, bun.Tx) error) error {
	if err := s.db.RunInTx(ctx, nil, do); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	s.poke()
	return nil
}

// change runs do in a transaction that has locked the group. It fails unless the user is a member
// who may perform act.
func (s *Service) change(ctx context.Context, group chat.GroupID, by token.Claims, act chat.Action, do func(context.Context, bun.Tx, chat.Role) error) error {
	return s.run(ctx, "change group "+group.String(), func(ctx context.Context, tx bun.Tx) error {
		role, err := lock(ctx, tx, group, by.UserID)
		if err != nil {
			return err
		}
		if !role.May(act) {
			return apierr.New(apierr.Forbidden, "Your role in this group (%s) does not allow this.", role)
		}
		return do(ctx, tx, role)
	})
}

// lock locks a group and returns the user's role in it.
func lock(ctx context.Context, tx bun.Tx, group chat.GroupID, user chat.UserID) (chat.Role, error) {
	var one int
	err := tx.NewRaw("select 1 from groups where id = ? and deleted_at is null for no key update", group).Scan(ctx, &one)
	if err == nil {
		var role chat.Role
		err = tx.NewRaw("select role from group_members where group_id = ? and user_id = ?", group, user).Scan(ctx, &role)
		if err == nil {
			return role, nil
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		return "", errNoGroup()
	}
	return "", fmt.Errorf("lock group: %w", err)
}

// update changes a group's name and description.
func (s *Service) update(ctx context.Context, group chat.GroupID, by token.Claims, in api.GroupChange) error {
	if in.Name != nil {
		trimmed, err := name(*in.Name)
		if err != nil {
			return err
		}
		in.Name = &trimmed
	}
	if in.Description != nil {
		*in.Description = strings.TrimSpace(*in.Description)
	}
	return s.change(ctx, group, by, chat.Describe, func(ctx context.Context, tx bun.Tx, _ chat.Role) error {
		res, err := tx.NewRaw(`update groups set name = coalesce(?, name), description = coalesce(?, description), updated_at = now()
			where id = ? and (name, description) is distinct from (coalesce(?, name), coalesce(?, description))`,
			in.Name, in.Description, group, in.Name, in.Description).Exec(ctx)
		if err != nil {
			return fmt.Errorf("update: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return outbox.AddGroupChange(ctx, tx, group, by.UserID, updated)
	})
}

// remove deletes a group and its channels.
func (s *Service) remove(ctx context.Context, group chat.GroupID, by token.Claims) error {
	return s.change(ctx, group, by, chat.Close, func(ctx context.Context, tx bun.Tx, _ chat.Role) error {
		return end(ctx, tx, group, by.UserID)
	})
}

// end deletes a locked group.
func end(ctx context.Context, tx bun.Tx, group chat.GroupID, by chat.UserID) error {
	if err := outbox.AddGroupChange(ctx, tx, group, by, removed); err != nil {
		return err
	}
	for _, sql := range []string{
		"update groups set deleted_at = now() where id = ?",
		"delete from group_members where group_id = ?",
	} {
		if _, err := tx.NewRaw(sql, group).Exec(ctx); err != nil {
			return fmt.Errorf("delete group: %w", err)
		}
	}
	return channel.CloseGroup(ctx, tx, group, by)
}

// Package contact implements contacts, contact requests and blocks.
//
// Each row in contacts belongs to one user and concerns another: it is a contact request or a
// block. Only the user to whom a row belongs writes it. The exceptions are a removal and a block,
// which delete the requests of both users. The relation between two users is determined by their
// two rows. Two users who send each other requests at the same time therefore become contacts,
// regardless of the order in which the transactions commit. No response reveals to a user that they
// are blocked.
package contact

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
	"parley.chat/chat-service/internal/outbox"
)

// The states of a contact row. Rows written by earlier releases may be in the accepted state, which
// has the same meaning as requested.
const (
	requested = "requested"
	blocked   = "blocked"
)

// Service implements the endpoints for contacts. It is safe for concurrent use.
type Service struct {
	db   *bun.DB
	poke func()
}

// New returns a Service that uses db. poke wakes the outbox relay.
func New(db *bun.DB, poke func()) *Service { return &Service{db, poke} }

// relation returns the relation between two users as the first user may see it. mine is the state
// of the first user's contact row, and theirs is the state of the second user's. The state of a
// missing row is "". relation returns false if there is no relation that the first user may see.
func relation(mine, theirs string) (api.ContactState, bool) {
	switch {
	case mine == blocked:
		return api.ContactStateBlocked, true
	case mine == "" && (theirs == "" || theirs == blocked):
		return "", false
	case mine == "":
		return api.ContactStateReceived, true
	case theirs == "" || theirs == blocked:
		return api.ContactStateRequested, true
	}
	return api.ContactStateAccepted, true
}

// row holds another user and the states of the two contact rows, one per direction.
type row struct {
	UserID      chat.UserID `bun:"user_id,type:uuid"`
	Username    string      `bun:"username"`
	DisplayName string      `bun:"display_name"`
	SortName    string      `bun:"sort_name"`
	Mine        string      `bun:"mine"`
	Theirs      string      `bun:"theirs"`
	Since       time.Time   `bun:"since"`
}

func (r *row) contact() (api.Contact, bool) {
	state, any := relation(r.Mine, r.Theirs)
	return api.Contact{
		UserID: r.UserID, Username: r.Username, DisplayName: r.DisplayName, State: state, Since: chat.At(r.Since),
	}, any
}

// both selects the other users with whom the user shares at least one contact row. It also selects
// the states of the rows in both directions.
const both = `select u.id as user_id, u.username, u.display_name, lower(u.username) as sort_name,
		coalesce(k.mine, '') as mine, coalesce(k.theirs, '') as theirs, k.since
	from (select other, max(mine) as mine, max(theirs) as theirs, max(updated_at) as since from (
			select contact_id as other, state as mine, null as theirs, updated_at from contacts where user_id = ?
			union all
			select user_id, null, state, case when state <> 'blocked' then updated_at end from contacts where contact_id = ?) said
		group by other) k
	join users u on u.id = k.other and u.deleted_at is null`

// find returns another user and the states of the two contact rows, one per direction. It returns
// NotFound if that user does not exist. If there are no contact rows, Since is the current time.
func find(ctx context.Context, db bun.IDB, user, other chat.UserID) (row, error) {
	var r row
	err := db.NewRaw(`select u.id as user_id, u.username, u.display_name, coalesce(m.state, '') as mine, coalesce(t.state, '') as theirs,
			coalesce(greatest(m.updated_at, case when t.state <> 'blocked' then t.updated_at end), now()) as since
		from users u
		left join contacts m on m.user_id = ? and m.contact_id = u.id
		left join contacts t on t.user_id = u.id and t.contact_id = ?
		where u.id = ? and u.deleted_at is null`, user, user, other).Scan(ctx, &r)
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, apierr.New(apierr.NotFound, "This user does not exist.")
	}
	if err != nil {
		return row{}, fmt.Errorf("find contact: %w", err)
	}
	return r, nil
}

// checkOther returns an error unless other is an existing user and different from user.
func (s *Service) checkOther(ctx context.Context, user, other chat.UserID) error {
	if user == other {
		return apierr.Invalid("user_id", apierr.Violates(apierr.FieldOtherUser, "must be another user"))
	}
	_, err := find(ctx, s.db, user, other)
	return err
}

// request records that user wants other as a contact.
func (s *Service) request(ctx context.Context, user, other chat.UserID) (row, error) {
	if err := s.checkOther(ctx, user, other); err != nil {
		return row{}, err
	}
	// A contact request does not lift a block; the user has to lift it explicitly.
	_, err := s.db.NewRaw(`insert into contacts (user_id, contact_id, state) values (?, ?, ?) on conflict do nothing`,
		user, other, requested).Exec(ctx)
	if err != nil {
		return row{}, fmt.Errorf("request contact: %w", err)
	}
	r, err := find(ctx, s.db, user, other)
	if err == nil && r.Mine == blocked {
		return row{}, apierr.New(apierr.Forbidden, "You have blocked this user. Lift the block first.")
	}
	return r, err
}

// remove deletes the two users' contact rows for each other, except blocks.
func (s *Service) remove(ctx context.Context, user, other chat.UserID) error {
	if err := s.checkOther(ctx, user, other); err != nil {
		return err
	}
	_, err := s.db.NewRaw(`delete from contacts where state <> ?
		and (user_id = ? and contact_id = ? or user_id = ? and contact_id = ?)`, blocked, user, other, other, user).Exec(ctx)
	if err != nil {
		return fmt.Errorf("remove contact: %w", err)
	}
	return nil
}

// block records that user blocks other, and deletes other's contact row unless it is a block. The
// gateways are notified, because they cache blocks.
func (s *Service) block(ctx context.Context, user, other chat.UserID) error {
	if err := s.checkOther(ctx, user, other); err != nil {
		return err
	}
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewRaw(`with gone as (delete from contacts where user_id = ? and contact_id = ? and state <> ?)
			insert into contacts as k (user_id, contact_id, state) values (?, ?, ?)
			on conflict (user_id, contact_id) do update set state = excluded.state, updated_at = now() where k.state <> excluded.state`,
			other, user, blocked, user, other, blocked).Exec(ctx)
		if err != nil {
			return err
		}
		return outbox.Add(ctx, tx, outbox.Block(user, other))
	})
	if err != nil {
		return fmt.Errorf("block user: %w", err)
	}
	s.poke()
	return nil
}

func (s *Service) unblock(ctx context.Context, user, other chat.UserID) error {
	if err := s.checkOther(ctx, user, other); err != nil {
		return err
	}
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		res, err := tx.NewRaw("delete from contacts where user_id = ? and contact_id = ? and state = ?", user, other, blocked).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return outbox.Add(ctx, tx, outbox.Block(user, other))
	})
	if err != nil {
		return fmt.Errorf("unblock user: %w", err)
	}
	s.poke()
	return nil
}

// Blocks reports whether user has blocked other.
func Blocks(ctx context.Context, db bun.IDB, user, other chat.UserID) (bool, error) {
	var yes bool
	err := db.NewRaw("select exists (select from contacts where user_id = ? and contact_id = ? and state = ?)", user, other, blocked).Scan(ctx, &yes)
	if err != nil {
		return false, fmt.Errorf("check for a block: %w", err)
	}
	return yes, nil
}

// position is the last user of a page; the next page begins after it.
type position struct {
	Name string      `json:"n"` // in lower case
	ID   chat.UserID `json:"i"`
}

// inState contains the SQL condition for each state that relation returns. The state "" selects all
// relations.
var inState = map[api.ContactState]string{
	"":                        "(mine is not null or theirs <> 'blocked')",
	api.ContactStateBlocked:   "mine = 'blocked'",
	api.ContactStateReceived:  "mine is null and theirs <> 'blocked'",
	api.ContactStateRequested: "mine <> 'blocked' and coalesce(theirs, 'blocked') = 'blocked'",
	api.ContactStateAccepted:  "mine <> 'blocked' and theirs <> 'blocked'",
}

// list returns a page of user's contacts and the position of the next page, if there is one.
func (s *Service) list(ctx context.Context, user chat.UserID, state api.ContactState, after *position, limit int) ([]row, *position, error) {
	sql, args := both+" where "+inState[state], []any{user, user}
	if after != nil {
		sql, args = sql+" and (lower(u.username), u.id) > (?, ?)", append(args, after.Name, after.ID)
	}
	var rows []row
	err := s.db.NewRaw(sql+" order by lower(u.username), u.id limit ?", append(args, limit+1)...).Scan(ctx, &rows)
	if err != nil {
		return nil, nil, fmt.Errorf("list contacts: %w", err)
	}
	if len(rows) <= limit {
		return rows, nil, nil
	}
	last := rows[limit-1]
	return rows[:limit], &position{last.SortName, last.UserID}, nil
}

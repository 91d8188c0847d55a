package account

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/names"
	"parley.chat/shared-contracts/chat"
)

// places lists where PostgreSQL says who a user was, and what the deletion of an account makes of it; ?0 is the
// user's id. The rows of users and sessions stay, since messages and tokens refer to them. A table that is not
// here has ids only, apart from table messages: a trigger notes the user in erasures, which makes readers of the
// event log leave out the names, and makes sync-service take them out. What other users wrote about the user is
// theirs, and stays.
var places = []struct{ where, query string }{
	// The new username can be nobody's: usernames have no tilde.
	{"users", `update users set username = '~' || replace(id::text, '-', ''), lookalike = null, email = id::text || '@deleted.invalid',
		password_hash = '', display_name = '', bio = '', avatar_url = '', operator = false, suspension_reason = '',
		updated_at = now(), deleted_at = now() where id = ?0`},
	{"sessions", "update sessions set user_agent = '', address = '' where user_id = ?0"},
	{"avatars", "delete from avatars where user_id = ?0"},
	{"devices", "delete from devices where user_id = ?0"},
	{"contacts", "delete from contacts where ?0 in (user_id, contact_id)"},
	{"channel_bans", "delete from channel_bans where user_id = ?0"},
	{"outbox", "update outbox set payload = payload - 'username' where subject_id = ?0 and kind in ('member_joined', 'member_left')"},
}

// erase removes everything that says who a user was, in the transaction that deletes their account, and
// reserves their username.
func (s *Service) erase(ctx context.Context, tx bun.Tx, id chat.UserID, username string) error {
	for _, p := range places {
		if _, err := tx.NewRaw(p.query, id).Exec(ctx); err != nil {
			return fmt.Errorf("erase the user from %s: %w", p.where, err)
		}
	}
	return s.reserve(ctx, tx, username)
}

// reserve keeps a username from everybody for a while, and all that look like it.
func (s *Service) reserve(ctx context.Context, tx bun.Tx, username string) error {
	if s.cfg.NameReservation <= 0 {
		return nil
	}
	_, err := tx.NewRaw(`insert into reserved_names (digest, until) values (name_digest(?), ?)
		on conflict (digest) do update set until = excluded.until`, names.Key(username), time.Now().Add(s.cfg.NameReservation)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("reserve the username: %w", err)
	}
	return nil
}

// notReserved returns an error if the name of a new user was somebody else's until recently. It asks after the
// user's row was inserted: the insert waits for the deletion of an account of that name.
func notReserved(ctx context.Context, tx bun.Tx, username string) error {
	var reserved bool
	err := tx.NewRaw("select exists (select from reserved_names where digest = name_digest(?) and until > now())", names.Key(username)).Scan(ctx, &reserved)
	if err != nil {
		return fmt.Errorf("look for a reserved username: %w", err)
	}
	if reserved {
		return errUsernameTaken(nil)
	}
	return nil
}

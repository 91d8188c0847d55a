package account

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/platform/names"
	"parley.chat/shared-contracts/chat"
)

// erasures lists the tables that contain data identifying a user, and the statements that erase
// this data when the account is deleted. ?0 is the user's id. The rows in users and sessions stay,
// because messages and tokens refer to them.
//
// Apart from messages, the tables that are not listed contain only ids. For the names in messages,
// a trigger adds the user to the erasures table. Readers of the event log then omit the user's
// names, and sync-service removes them from the stored rows. Text that other users wrote about the
// user is not changed.
var erasures = []struct{ table, query string }{
	// The username becomes a tilde followed by the id. No user can sign up with it, because
	// usernames do not contain a tilde.
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

// erase removes everything that identifies a user and reserves their username. tx is the
// transaction that deletes the account.
func (s *Service) erase(ctx context.Context, tx bun.Tx, id chat.UserID, username string) error {
	for _, p := range erasures {
		if _, err := tx.NewRaw(p.query, id).Exec(ctx); err != nil {
			return fmt.Errorf("erase the user from %s: %w", p.table, err)
		}
	}
	return s.reserve(ctx, tx, username)
}

// reserve blocks a username, and all names that look like it, for the configured time.
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

// notReserved returns an error if the name of a new user is still reserved for a deleted account.
// It must be called after the user's row is inserted, because the insert waits for a concurrent
// deletion of an account with that name.
func notReserved(ctx context.Context, tx bun.Tx, username string) error {
	var reserved bool
	err := tx.NewRaw("select exists (select from reserved_names where digest = name_digest(?) and until > now())", names.Key(username)).Scan(ctx, &reserved)
	if err != nil {
		return fmt.Errorf("check for a reserved username: %w", err)
	}
	if reserved {
		return errUsernameTaken(nil)
	}
	return nil
}

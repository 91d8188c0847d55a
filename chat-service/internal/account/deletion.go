package account

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/internal/token"
	"parley.chat/shared-contracts/chat"
)

// Leave takes a user out of what a feature keeps them in, in the transaction that deletes their account.
// The user's row is locked.
type Leave func(ctx context.Context, tx bun.Tx, user chat.UserID, username string) error

// delete ends an account. Its row stays, without anything that says whose it was: what the user has
// written refers to it. Everything else goes in one transaction, so nobody is half gone.
func (s *Service) delete(ctx context.Context, by token.Claims, pass string) error {
	u, err := s.prove(ctx, by, pass)
	if err != nil {
		return err
	}
	var ended []chat.SessionID
	err = s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := hold(ctx, tx, u, "update"); err != nil {
			return err
		}
		for _, leave := range s.cfg.Leave {
			if err := leave(ctx, tx, u.ID, u.Username); err != nil {
				return err
			}
		}
		if ended, err = endAll(ctx, tx, u.ID, chat.SessionID{}); err != nil {
			return err
		}
		return forget(ctx, tx, u.ID)
	})
	if err != nil {
		return fmt.Errorf("delete account: %w", moved(err))
	}
	s.cfg.Poke()
	s.tellEnded(ctx, u.ID, ended)
	return nil
}

// forget empties the row of a user, what others have said of them as contacts, and where they came from.
// The name that it gets can be nobody's: usernames have no tilde.
func forget(ctx context.Context, tx bun.Tx, id chat.UserID) error {
	for _, query := range []string{
		`update users set username = '~' || replace(id::text, '-', ''), lookalike = null, email = id::text || '@deleted.invalid', password_hash = '',
			display_name = '', bio = '', avatar_url = '', operator = false, updated_at = now(), deleted_at = now() where id = ?`,
		"delete from contacts where ? in (user_id, contact_id)",
		"delete from devices where user_id = ?",
		"update sessions set user_agent = '', address = '' where user_id = ?",
	} {
		if _, err := tx.NewRaw(query, id).Exec(ctx); err != nil {
			return fmt.Errorf("forget user: %w", err)
		}
	}
	return nil
}

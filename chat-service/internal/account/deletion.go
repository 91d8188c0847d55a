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
type Leave func(ctx context.Context, tx bun.Tx, user chat.UserID) error

// delete ends an account. Its row stays, without anything that says whose it was: what the user has
// written refers to it. Everything else goes in one transaction, so nobody is half gone.
func (s *Service) delete(ctx context.Context, by token.Claims, pass string, d device) error {
	u, err := s.prove(ctx, by, pass, d)
	if err != nil {
		return err
	}
	var ended []chat.SessionID
	err = s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := lock(ctx, tx, u, "update"); err != nil {
			return err
		}
		for _, leave := range s.cfg.Leave {
			if err := leave(ctx, tx, u.ID); err != nil {
				return err
			}
		}
		if ended, err = endAll(ctx, tx, u.ID, chat.SessionID{}); err != nil {
			return err
		}
		return s.erase(ctx, tx, u.ID, u.Username)
	})
	if err != nil {
		return fmt.Errorf("delete account: %w", moved(err))
	}
	s.cfg.Poke()
	s.tellEnded(ctx, u.ID, ended)
	return nil
}

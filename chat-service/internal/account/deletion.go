package account

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/chat"
)

// Leave ends all of a user's memberships in groups or in channels, or all invitations that the user
// has sent or received. It runs in the transaction that deletes the user's account, after that
// transaction has locked the user's row.
type Leave func(ctx context.Context, tx bun.Tx, user chat.UserID) error

// delete deletes an account. The user's row remains, because messages refer to it, but it no longer
// identifies the user. Everything else is removed in the same transaction, so an account is never
// partly deleted.
func (s *Service) delete(ctx context.Context, by token.Claims, pass string, d device) error {
	u, err := s.verifyOwnPassword(ctx, by, pass, d)
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
		return fmt.Errorf("delete account: %w", userChanged(err))
	}
	s.cfg.Poke()
	s.publishEnded(ctx, u.ID, ended)
	return nil
}

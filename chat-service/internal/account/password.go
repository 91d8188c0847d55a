package account

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/outbox"
	"parley.chat/chat-service/internal/password"
)

// changePassword changes the password of a user, ends all their sessions and starts a new one for
// the caller. A password change therefore locks out everybody who knew the old password or has
// copied a token, including a token of the session that makes the change. It also forgets the
// user's other devices.
func (s *Service) changePassword(ctx context.Context, by token.Claims, old, fresh string, d device) (*user, tokens, error) {
	u, err := s.verifyOwnPassword(ctx, by, old, d)
	if err != nil {
		return nil, tokens{}, err
	}
	if err := password.Check(fresh, u.Username, u.Email); err != nil {
		return nil, tokens{}, apierr.Invalid("new_password", err)
	}
	hash, err := s.cfg.Hasher.Hash(ctx, d.source(true), fresh)
	if err != nil {
		return nil, tokens{}, err
	}
	var ended []chat.SessionID
	var t tokens
	err = s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := lockUnchanged(ctx, tx, u); err != nil {
			return err
		}
		_, err := tx.NewUpdate().Model((*user)(nil)).Set("password_hash = ?", hash).Set("updated_at = now()").Where("id = ?", u.ID).Exec(ctx)
		if err != nil {
			return fmt.Errorf("store password: %w", err)
		}
		if ended, err = endAll(ctx, tx, u.ID, chat.SessionID{}); err != nil {
			return err
		}
		if !slices.Contains(ended, by.SessionID) {
			return errUserChanged // the caller's own session has just ended; do not start a new one in its place
		}
		if err := forgetOthers(ctx, tx, u.ID, d); err != nil {
			return err
		}
		t, err = s.begin(ctx, tx, u, d)
		return err
	})
	if err != nil {
		return nil, tokens{}, fmt.Errorf("change password: %w", userChanged(err))
	}
	s.publishEnded(ctx, u.ID, ended)
	return u, t, nil
}

// verifyOwnPassword returns the user that a session belongs to if pass is their password. Each
// session has its own limit on wrong passwords, so other people's failed logins cannot use it up.
func (s *Service) verifyOwnPassword(ctx context.Context, by token.Claims, pass string, d device) (*user, error) {
	u, err := s.load(ctx, by.UserID)
	if err != nil {
		return nil, err
	}
	g := guess{own: ratelimit.Use{Kind: ratelimit.Guess, Subject: "session:" + by.SessionID.String()}}
	if err := s.countGuess(ctx, g); err != nil {
		return nil, err
	}
	ok, _, err := s.cfg.Hasher.Verify(ctx, d.source(true), pass, u.PasswordHash)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &apierr.Error{
			Code: apierr.InvalidCredentials, Message: "The password is wrong.",
			Fields: []apierr.FieldError{apierr.FieldOf("password", apierr.Violates(apierr.FieldWrong, "is wrong"))},
		}
	}
	s.forgive(ctx, g)
	return u, nil
}

// errUserChanged means that a user's password has changed since it was checked, or that the user
// has been deleted or suspended.
var errUserChanged = errors.New("the user has changed in the meantime")

// lockUnchanged locks a user's row. It returns errUserChanged if the password is no longer the one
// that was checked. Without this lock, a concurrent login with the old password could survive a
// password change. The lock also serializes logins of the same user, so that each login sees the
// sessions that the others started.
func lockUnchanged(ctx context.Context, tx bun.Tx, u *user) error {
	return lock(ctx, tx, u, "no key update")
}

func lock(ctx context.Context, tx bun.Tx, u *user, how string) error {
	n, err := tx.NewSelect().Model((*user)(nil)).Where("id = ? and password_hash = ? and deleted_at is null and suspended_at is null", u.ID, u.PasswordHash).
		For(how).ColumnExpr("1").Exec(ctx)
	if err != nil {
		return fmt.Errorf("lock user: %w", err)
	}
	if rows, err := n.RowsAffected(); err != nil || rows == 0 {
		return errors.Join(errUserChanged, err)
	}
	return nil
}

// userChanged converts errUserChanged to the error that the client sees.
func userChanged(err error) error {
	if errors.Is(err, errUserChanged) {
		return apierr.Wrap(err, apierr.InvalidCredentials, "The account was changed by another request.")
	}
	return err
}

// revocationsPerInsert limits the number of rows that one statement inserts. A program that logs in
// before every request can have many sessions.
const revocationsPerInsert = 1000

// endAll ends the active sessions of a user, except session keep, and adds a revocation for each
// ended session to the outbox. keep may be zero.
func endAll(ctx context.Context, tx bun.Tx, owner chat.UserID, keep chat.SessionID) ([]chat.SessionID, error) {
	return endWhere(ctx, tx, owner, "id <> ?", keep)
}

// endSurplus ends a user's least recently used sessions until at most maxSessions remain. It always
// keeps the newest session, even if the clocks of the servers differ. The caller has locked the
// user's row.
func endSurplus(ctx context.Context, tx bun.Tx, owner chat.UserID, newest chat.SessionID) ([]chat.SessionID, error) {
	return endWhere(ctx, tx, owner, `id in (select id from sessions where user_id = ? and id <> ? and revoked_at is null and expires_at > now()
		order by last_used_at desc, created_at desc, id offset ?)`, owner, newest, maxSessions-1)
}

// endWhere ends the active sessions of a user that match a condition, and adds a revocation for
// each to the outbox.
func endWhere(ctx context.Context, tx bun.Tx, owner chat.UserID, condition string, args ...any) ([]chat.SessionID, error) {
	var rows []struct {
		ID chat.SessionID `bun:"id,type:uuid"`
	}
	err := tx.NewRaw("update sessions set revoked_at = now() where user_id = ? and revoked_at is null and expires_at > now() and "+condition+" returning id",
		append([]any{owner}, args...)...).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("end sessions: %w", err)
	}
	ended := make([]chat.SessionID, len(rows))
	revocations := make([]outbox.Row, len(rows))
	for i, r := range rows {
		ended[i], revocations[i] = r.ID, outbox.Revocation(owner, r.ID)
	}
	for chunk := range slices.Chunk(revocations, revocationsPerInsert) {
		if err := outbox.Add(ctx, tx, chunk...); err != nil {
			return nil, err
		}
	}
	return ended, nil
}

// endOthers ends all sessions of a user except the one that made the request.
func (s *Service) endOthers(ctx context.Context, by token.Claims) error {
	var ended []chat.SessionID
	err := s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		ended, err = endAll(ctx, tx, by.UserID, by.SessionID)
		return err
	})
	if err != nil {
		return fmt.Errorf("end other sessions: %w", err)
	}
	s.publishEnded(ctx, by.UserID, ended)
	return nil
}

// publishEnded revokes the access tokens of sessions that have ended. It is called after the
// commit. This instance refuses the tokens immediately; the outbox notifies the gateways.
func (s *Service) publishEnded(ctx context.Context, owner chat.UserID, ended []chat.SessionID) {
	if len(ended) == 0 {
		return
	}
	s.cfg.Poke()
	soon, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	if err := s.cfg.Revoked.Set(soon, owner, ended...); err != nil {
		s.cfg.Logger.WarnContext(ctx, "failed to revoke access tokens, retrying when Redis is available", "user_id", owner.String(), "err", err)
	}
}

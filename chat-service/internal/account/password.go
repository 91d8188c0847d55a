package account

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"parley.chat/internal/ratelimit"
	"parley.chat/internal/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/outbox"
	"parley.chat/chat-service/internal/password"
)

// changePassword gives a user another password, ends all their sessions and begins one for the caller. Whoever
// knew the old password, or has copied a token, is out: tokens of the session that makes the change, too. Other
// devices are no longer known.
func (s *Service) changePassword(ctx context.Context, by token.Claims, old, fresh string, d device) (*user, tokens, error) {
	u, err := s.prove(ctx, by, old, d)
	if err != nil {
		return nil, tokens{}, err
	}
	if err := password.Check(fresh, u.Username, u.Email); err != nil {
		return nil, tokens{}, apierr.Invalid("new_password", "%v", err)
	}
	hash, err := s.cfg.Hasher.Hash(ctx, d.source(true), fresh)
	if err != nil {
		return nil, tokens{}, err
	}
	var ended []chat.SessionID
	var t tokens
	err = s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := hold(ctx, tx, u); err != nil {
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
			return errMoved // it was ended since the request was admitted, and must not live on
		}
		if err := forgetOthers(ctx, tx, u.ID, d); err != nil {
			return err
		}
		t, err = s.begin(ctx, tx, u, d)
		return err
	})
	if err != nil {
		return nil, tokens{}, fmt.Errorf("change password: %w", moved(err))
	}
	s.tellEnded(ctx, u.ID, ended)
	return u, t, nil
}

// prove returns the user of a session if pass is their password. Each session has a limit of its own, which
// failed logins of others cannot use up.
func (s *Service) prove(ctx context.Context, by token.Claims, pass string, d device) (*user, error) {
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
			Code: apierr.InvalidCredentials, Message: "the password is wrong",
			Fields: []apierr.Field{{Field: "password", Message: "is wrong"}},
		}
	}
	s.forgive(ctx, g)
	return u, nil
}

// errMoved says that a user's password is another than the one that was checked, or that they are
// gone or suspended.
var errMoved = errors.New("the user has changed meanwhile")

// hold locks a user whose password is still the one that was checked. Without it a login under way would outlive
// the change of its password. Logins of one user exclude each other, so that each sees the sessions of the other.
func hold(ctx context.Context, tx bun.Tx, u *user) error { return lock(ctx, tx, u, "no key update") }

func lock(ctx context.Context, tx bun.Tx, u *user, how string) error {
	n, err := tx.NewSelect().Model((*user)(nil)).Where("id = ? and password_hash = ? and deleted_at is null and suspended_at is null", u.ID, u.PasswordHash).
		For(how).ColumnExpr("1").Exec(ctx)
	if err != nil {
		return fmt.Errorf("lock user: %w", err)
	}
	if rows, err := n.RowsAffected(); err != nil || rows == 0 {
		return errors.Join(errMoved, err)
	}
	return nil
}

// moved answers one whose account has changed between their proof and the deed.
func moved(err error) error {
	if errors.Is(err, errMoved) {
		return apierr.Wrap(err, apierr.InvalidCredentials, "the account has just been changed elsewhere")
	}
	return err
}

// revocationsPerInsert bounds a statement: a program that logs in for each call has many sessions.
const revocationsPerInsert = 1000

// endAll ends the live sessions of a user except one (zero: none is kept), and tells the outbox.
func endAll(ctx context.Context, tx bun.Tx, owner chat.UserID, keep chat.SessionID) ([]chat.SessionID, error) {
	return endWhere(ctx, tx, owner, "id <> ?", keep)
}

// endSurplus ends the sessions of a user that are more than maxSessions, those that were used longest ago. The
// newest is kept, whatever the clocks say. The user's row is locked.
func endSurplus(ctx context.Context, tx bun.Tx, owner chat.UserID, newest chat.SessionID) ([]chat.SessionID, error) {
	return endWhere(ctx, tx, owner, `id in (select id from sessions where user_id = ? and id <> ? and revoked_at is null and expires_at > now()
		order by last_used_at desc, created_at desc, id offset ?)`, owner, newest, maxSessions-1)
}

// endWhere ends the live sessions of a user that a condition holds for, and tells the outbox.
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
	told := make([]outbox.Row, len(rows))
	for i, r := range rows {
		ended[i], told[i] = r.ID, outbox.Revocation(owner, r.ID)
	}
	for some := range slices.Chunk(told, revocationsPerInsert) {
		if err := outbox.Add(ctx, tx, some...); err != nil {
			return nil, err
		}
	}
	return ended, nil
}

// endOthers ends every session of a user except the one that asks.
func (s *Service) endOthers(ctx context.Context, by token.Claims) error {
	var ended []chat.SessionID
	err := s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		ended, err = endAll(ctx, tx, by.UserID, by.SessionID)
		return err
	})
	if err != nil {
		return fmt.Errorf("end other sessions: %w", err)
	}
	s.tellEnded(ctx, by.UserID, ended)
	return nil
}

// tellEnded makes the end of sessions known once it is committed: to this service at once, to the
// gateways by the outbox.
func (s *Service) tellEnded(ctx context.Context, owner chat.UserID, ended []chat.SessionID) {
	if len(ended) == 0 {
		return
	}
	s.cfg.Poke()
	soon, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	if err := s.cfg.Revoked.Set(soon, owner, ended...); err != nil {
		s.cfg.Logger.WarnContext(ctx, "revocation takes effect when Redis is back", "user_id", owner.String(), "err", err)
	}
}

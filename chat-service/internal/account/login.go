package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"parley.chat/internal/platform/names"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/password"
)

// login starts a session for a user who knows the password. For an unknown name, it takes the same
// steps and returns the same error as for a wrong password.
func (s *Service) login(ctx context.Context, name, pass string, d device) (*user, tokens, error) {
	if err := s.countAttempt(ctx, d.address); err != nil {
		return nil, tokens{}, err
	}
	// Try twice, because another login by the same user may replace the hash between the check and
	// the lock.
	for range 2 {
		u, err := s.authenticate(ctx, name, pass, d)
		if err != nil {
			return nil, tokens{}, err
		}
		if u.SuspendedAt != nil {
			return nil, tokens{}, errSuspended()
		}
		var t tokens
		err = s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			if err := lockUnchanged(ctx, tx, u); err != nil {
				return err
			}
			t, err = s.begin(ctx, tx, u, d)
			return err
		})
		switch {
		case err == nil:
			s.publishEnded(ctx, u.ID, t.ended)
			return u, t, nil
		case !errors.Is(err, errUserChanged):
			return nil, tokens{}, fmt.Errorf("log in: %w", err)
		}
	}
	return nil, tokens{}, apierr.New(apierr.Unavailable, "The account was changed at the same time. Please try again.")
}

// authenticate returns the user with the given login name if pass is their password.
func (s *Service) authenticate(ctx context.Context, name, pass string, d device) (*user, error) {
	u, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	known, err := s.isKnown(ctx, u, d)
	if err != nil {
		return nil, err
	}
	g := guessAtLogin(u, known, name, d)
	if err := s.countGuess(ctx, g); err != nil {
		return nil, err
	}
	outdated, err := s.verify(ctx, u, pass, d.source(known))
	if err != nil {
		return nil, err
	}
	s.forgive(ctx, g)
	if outdated {
		s.renewHash(ctx, u, pass, d.source(true))
	}
	return u, nil
}

// verify returns InvalidCredentials unless pass is the password of u. u may be nil. outdated means
// that the password hash should be replaced.
func (s *Service) verify(ctx context.Context, u *user, pass string, from password.Source) (outdated bool, err error) {
	ok := false
	if u == nil {
		err = s.cfg.Hasher.VerifyNobody(ctx, from, pass)
	} else {
		ok, outdated, err = s.cfg.Hasher.Verify(ctx, from, pass, u.PasswordHash)
	}
	if err != nil {
		return false, err
	}
	if !ok {
		return false, apierr.New(apierr.InvalidCredentials, "The login or the password is wrong.")
	}
	return outdated, nil
}

// find returns the user with the given username or email address, or nil.
func (s *Service) find(ctx context.Context, name string) (*user, error) {
	if chat.CheckLine(name, maxEmailChars) != nil {
		return nil, nil // the name is invalid; PostgreSQL might not accept it as a string
	}
	column := "username"
	if isEmail(name) {
		column = "email"
	}
	u := new(user)
	err := s.cfg.DB.NewSelect().Model(u).
		Where("lower(?) in (lower(?), lower(?))", bun.Ident(column), name, composed(name)).Where("deleted_at is null").Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the user of a login: %w", err)
	}
	return u, nil
}

// isEmail reports whether a login name is an email address. Usernames contain no @.
func isEmail(name string) bool { return strings.Contains(name, "@") }

// composed normalizes a login name in the same way as signup normalizes an email address. Earlier
// releases stored addresses as typed.
func composed(login string) string {
	if address, err := names.Email(login); err == nil {
		return address
	}
	return login
}

// renewHash replaces the user's password hash with one that has the current parameters. If that
// fails, the login still succeeds.
func (s *Service) renewHash(ctx context.Context, u *user, pass string, from password.Source) {
	hash, err := s.cfg.Hasher.Hash(ctx, from, pass)
	if err == nil {
		_, err = s.cfg.DB.NewUpdate().Model(u).Set("password_hash = ?", hash).
			Where("id = ? and password_hash = ?", u.ID, u.PasswordHash).Returning("password_hash").Exec(ctx)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) { // no rows: another login by the user has already replaced the hash
		s.cfg.Logger.WarnContext(ctx, "failed to renew password hash", "user_id", u.ID.String(), "err", err)
	}
}

package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"parley.chat/internal/names"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/password"
)

// login begins a session for whoever knows the password. An unknown name costs the same steps and gets
// the same answer as a wrong password.
func (s *Service) login(ctx context.Context, name, pass string, d device) (*user, tokens, error) {
	if err := s.countAttempt(ctx, d.address); err != nil {
		return nil, tokens{}, err
	}
	// Twice, because the hash may be renewed by another login of the same user between the two steps.
	for range 2 {
		u, err := s.know(ctx, name, pass, d)
		if err != nil {
			return nil, tokens{}, err
		}
		if u.SuspendedAt != nil {
			return nil, tokens{}, errSuspended()
		}
		var t tokens
		err = s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			if err := hold(ctx, tx, u); err != nil {
				return err
			}
			t, err = s.begin(ctx, tx, u, d)
			return err
		})
		switch {
		case err == nil:
			s.tellEnded(ctx, u.ID, t.ended)
			return u, t, nil
		case !errors.Is(err, errMoved):
			return nil, tokens{}, fmt.Errorf("log in: %w", err)
		}
	}
	return nil, tokens{}, apierr.New(apierr.Unavailable, "the account is being changed, please try again")
}

// know returns the user of a name whose password is pass.
func (s *Service) know(ctx context.Context, name, pass string, d device) (*user, error) {
	u, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	known, err := s.knows(ctx, u, d)
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

// verify answers InvalidCredentials unless pass is the password of u, who may be nil.
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
		return false, apierr.New(apierr.InvalidCredentials, "the login or the password is wrong")
	}
	return outdated, nil
}

// find returns the user of a username or an email address, or nil.
func (s *Service) find(ctx context.Context, name string) (*user, error) {
	if chat.CheckLine(name, maxEmailChars) != nil {
		return nil, nil // nobody's name, and nothing that PostgreSQL could be asked
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

// isEmail tells the two kinds of login names apart: no username has an @.
func isEmail(name string) bool { return strings.Contains(name, "@") }

// composed returns a login as signups store it. Earlier releases stored what was typed.
func composed(login string) string {
	if address, err := names.Email(login); err == nil {
		return address
	}
	return login
}

// renewHash stores a hash made with the parameters of now. The login does not depend on it.
func (s *Service) renewHash(ctx context.Context, u *user, pass string, from password.Source) {
	hash, err := s.cfg.Hasher.Hash(ctx, from, pass)
	if err == nil {
		_, err = s.cfg.DB.NewUpdate().Model(u).Set("password_hash = ?", hash).
			Where("id = ? and password_hash = ?", u.ID, u.PasswordHash).Returning("password_hash").Exec(ctx)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) { // another login of theirs may have done it
		s.cfg.Logger.WarnContext(ctx, "password hash not renewed", "user_id", u.ID.String(), "err", err)
	}
}

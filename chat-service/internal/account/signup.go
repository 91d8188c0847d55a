package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"parley.chat/internal/platform/names"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/password"
)

const maxEmailChars = 254

// signup creates a user and their first session.
func (s *Service) signup(ctx context.Context, username, email, pass string, d device) (*user, tokens, error) {
	email, errEmail := names.Email(email)
	if err := checkSignup(username, email, pass, errEmail); err != nil {
		return nil, tokens{}, err
	}
	if err := s.countAttempt(ctx, d.address); err != nil {
		return nil, tokens{}, err
	}
	hash, err := s.cfg.Hasher.Hash(ctx, d.source(false), pass)
	if err != nil {
		return nil, tokens{}, err
	}
	u := &user{ID: chat.NewUserID(), Username: username, Lookalike: names.Key(username), Email: email, PasswordHash: hash, CreatedAt: time.Now()}
	var t tokens
	err = s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(u).Exec(ctx); err != nil {
			return nameConflict(err)
		}
		if err := notReserved(ctx, tx, username); err != nil {
			return err
		}
		if s.cfg.FirstOperates {
			if err := makeFirstOperator(ctx, tx, u); err != nil {
				return err
			}
		}
		t, err = s.begin(ctx, tx, u, d)
		return err
	})
	if err != nil {
		return nil, tokens{}, fmt.Errorf("sign up: %w", err)
	}
	return u, t, nil
}

// makeFirstOperator makes a new user an operator if nobody has signed up before. Users who have
// since been deleted still count. The lock prevents two users who sign up at the same time from
// both becoming operators.
func makeFirstOperator(ctx context.Context, tx bun.Tx, u *user) error {
	if _, err := tx.NewRaw("select pg_advisory_xact_lock(hashtext('parley: first account'))").Exec(ctx); err != nil {
		return fmt.Errorf("wait for concurrent signups: %w", err)
	}
	err := tx.NewRaw("update users set operator = not exists (select from users where id <> ?0) where id = ?0 returning operator", u.ID).Scan(ctx, &u.Operator)
	if err != nil {
		return fmt.Errorf("check for earlier accounts: %w", err)
	}
	return nil
}

// checkSignup returns the errors of all invalid fields together, so that a form can show them at
// the same time.
func checkSignup(username, email, pass string, errEmail error) error {
	var fields []apierr.FieldError
	check := func(field string, err error) {
		if err != nil {
			fields = append(fields, apierr.FieldOf(field, err))
		}
	}
	check("username", names.CheckUsername(username))
	check("email", cmp.Or(errEmail, checkEmail(email)))
	check("password", password.Check(pass, username, email))
	return apierr.InvalidFields(fields)
}

// checkEmail accepts a single address without a display name. The only way to find out whether the
// address works is to send a message to it.
func checkEmail(email string) error {
	if err := chat.CheckLine(email, maxEmailChars); err != nil {
		return err
	}
	addr, err := mail.ParseAddress(email)
	if err != nil || addr.Address != email || addr.Name != "" || strings.ContainsAny(email, "\" ()<>[]:;\\,") {
		return apierr.Violates(apierr.FieldEmail, "is not an email address")
	}
	if _, domain, _ := strings.Cut(email, "@"); strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".") {
		return apierr.Violates(apierr.FieldEmail, "is not an email address")
	}
	return nil
}

// nameConflict converts violations of the unique constraints on names to API errors. The
// constraints decide which of two concurrent signups was first.
func nameConflict(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "23505" {
		switch e.ConstraintName {
		case "users_username_key":
			return errUsernameTaken(err)
		case "users_lookalike_key":
			return &apierr.Error{
				Code: apierr.UsernameTaken, Message: "This username looks like one that is already taken.",
				Fields: []apierr.FieldError{apierr.FieldOf("username", apierr.Violates(apierr.FieldLookalike, "looks like one that is already taken"))}, Err: err,
			}
		case "users_email_key":
			return &apierr.Error{
				Code: apierr.EmailTaken, Message: "An account with this email address already exists.",
				Fields: []apierr.FieldError{apierr.FieldOf("email", apierr.Violates(apierr.FieldTaken, "is already taken"))}, Err: err,
			}
		}
	}
	return err
}

func errUsernameTaken(err error) error {
	return &apierr.Error{
		Code: apierr.UsernameTaken, Message: "This username is already taken.",
		Fields: []apierr.FieldError{apierr.FieldOf("username", apierr.Violates(apierr.FieldTaken, "is already taken"))}, Err: err,
	}
}

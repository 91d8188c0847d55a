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

	"parley.chat/internal/names"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/password"
)

const maxEmailChars = 254

// signup makes a user and their first session.
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
			return taken(err)
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

// makeFirstOperator makes a new user an operator if nobody has signed up before, deleted users included. The lock
// keeps two who sign up at the same time from both being the first.
func makeFirstOperator(ctx context.Context, tx bun.Tx, u *user) error {
	if _, err := tx.NewRaw("select pg_advisory_xact_lock(hashtext('parley: first account'))").Exec(ctx); err != nil {
		return fmt.Errorf("wait for other sign-ups: %w", err)
	}
	err := tx.NewRaw("update users set operator = not exists (select from users where id <> ?0) where id = ?0 returning operator", u.ID).Scan(ctx, &u.Operator)
	if err != nil {
		return fmt.Errorf("look for earlier accounts: %w", err)
	}
	return nil
}

// checkSignup collects what is wrong with every field at once, as a form wants it.
func checkSignup(username, email, pass string, errEmail error) error {
	var fields []apierr.Field
	check := func(field string, err error) {
		if err != nil {
			fields = append(fields, apierr.Field{Field: field, Message: err.Error()})
		}
	}
	check("username", names.CheckUsername(username))
	check("email", cmp.Or(errEmail, checkEmail(email)))
	check("password", password.Check(pass, username, email))
	return invalid(fields)
}

// invalid returns the error of fields, or nil when there are none.
func invalid(fields []apierr.Field) error {
	if len(fields) == 0 {
		return nil
	}
	return &apierr.Error{
		Code: apierr.InvalidRequest, Fields: fields,
		Message: fields[0].Field + " " + fields[0].Message,
	}
}

// checkEmail accepts one bare address. Whether it has a reader, only a message to it could tell.
func checkEmail(email string) error {
	if err := chat.CheckLine(email, maxEmailChars); err != nil {
		return err
	}
	addr, err := mail.ParseAddress(email)
	if err != nil || addr.Address != email || addr.Name != "" || strings.ContainsAny(email, "\" ()<>[]:;\\,") {
		return errors.New("is not an email address")
	}
	if _, domain, _ := strings.Cut(email, "@"); strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".") {
		return errors.New("is not an email address")
	}
	return nil
}

// taken maps the constraints that settle who was first with a name.
func taken(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "23505" {
		switch e.ConstraintName {
		case "users_username_key":
			return errUsernameTaken(err)
		case "users_lookalike_key":
			return &apierr.Error{
				Code: apierr.UsernameTaken, Message: "this username looks like one that is taken",
				Fields: []apierr.Field{{Field: "username", Message: "looks like one that is taken"}}, Err: err,
			}
		case "users_email_key":
			return &apierr.Error{
				Code: apierr.EmailTaken, Message: "this email address has an account",
				Fields: []apierr.Field{{Field: "email", Message: "is taken"}}, Err: err,
			}
		}
	}
	return err
}

func errUsernameTaken(err error) error {
	return &apierr.Error{
		Code: apierr.UsernameTaken, Message: "this username is taken",
		Fields: []apierr.Field{{Field: "username", Message: "is taken"}}, Err: err,
	}
}

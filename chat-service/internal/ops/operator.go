package ops

import (
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/chat"
)

// ErrNoUser means that no account has the given username.
var ErrNoUser = errors.New("no such user")

// isOperator reports whether a user is currently an operator. The role is not cached, so revoking
// it takes effect immediately.
func isOperator(ctx context.Context, db bun.IDB, id chat.UserID) (bool, error) {
	var is bool
	err := db.NewRaw("select exists (select from users where id = ? and operator and deleted_at is null)", id).Scan(ctx, &is)
	if err != nil {
		return false, fmt.Errorf("check whether the user is an operator: %w", err)
	}
	return is, nil
}

// SetOperator grants the operator role to the user with the given username, or revokes it.
func SetOperator(ctx context.Context, db bun.IDB, username string, operator bool) error {
	res, err := db.NewRaw("update users set operator = ?, updated_at = now() where lower(username) = lower(?) and deleted_at is null", operator, username).Exec(ctx)
	if err != nil {
		return fmt.Errorf("change %s: %w", username, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(fmt.Errorf("%s: %w", username, ErrNoUser), err)
	}
	return nil
}

// Operators returns the usernames of all operators, sorted by name.
func Operators(ctx context.Context, db bun.IDB) ([]string, error) {
	var names []string
	err := db.NewRaw("select username from users where operator and deleted_at is null order by lower(username)").Scan(ctx, &names)
	if err != nil {
		return nil, fmt.Errorf("list operators: %w", err)
	}
	return names, nil
}

package ops

import (
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/chat"
)

// ErrNoUser is the answer to a name that nobody has.
var ErrNoUser = errors.New("no such user")

// isOperator reports whether a user is one, at this moment: to take it away works at once.
func isOperator(ctx context.Context, db bun.IDB, id chat.UserID) (bool, error) {
	var is bool
	err := db.NewRaw("select exists (select from users where id = ? and operator and deleted_at is null)", id).Scan(ctx, &is)
	if err != nil {
		return false, fmt.Errorf("ask whether the user is an operator: %w", err)
	}
	return is, nil
}

// SetOperator makes the user of a name an operator, or makes them none.
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

// Operators lists the usernames of all operators.
func Operators(ctx context.Context, db bun.IDB) ([]string, error) {
	var names []string
	err := db.NewRaw("select username from users where operator and deleted_at is null order by lower(username)").Scan(ctx, &names)
	if err != nil {
		return nil, fmt.Errorf("list operators: %w", err)
	}
	return names, nil
}

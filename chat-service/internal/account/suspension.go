package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// ErrNoUser means that no account has the given username.
var ErrNoUser = errors.New("no such user")

// maxReasonChars matches the limit in the table.
const maxReasonChars = 500

// Suspension is one suspended account.
type Suspension struct {
	Username string    `bun:"username"`
	Since    time.Time `bun:"suspended_at"`
	Reason   string    `bun:"suspension_reason"`
}

// Suspend prevents a user from logging in and ends all their sessions. It returns the number of
// ended sessions. Every running chat-service is notified through PostgreSQL and then refuses the
// user's tokens. The outbox makes the gateways close their connections. Suspending a suspended user
// again only changes the reason.
func Suspend(ctx context.Context, db *bun.DB, username, reason string) (ended int, err error) {
	if utf8.RuneCountInString(reason) > maxReasonChars || !utf8.ValidString(reason) {
		return 0, fmt.Errorf("the reason must be valid UTF-8 with at most %d characters", maxReasonChars)
	}
	err = db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		// Logins lock this row. The update waits for logins in progress, so the sessions that they
		// start are ended as well.
		id, err := changeSuspension(ctx, tx, `update users set suspended_at = coalesce(suspended_at, now()), suspension_reason = ?, updated_at = now()
			where lower(username) = lower(?) and deleted_at is null returning id`, reason, username)
		if err != nil {
			return err
		}
		sessions, err := endAll(ctx, tx, id, chat.SessionID{})
		if err != nil {
			return err
		}
		ended = len(sessions)
		if _, err := tx.NewRaw("select pg_notify('outbox', '')").Exec(ctx); err != nil {
			return fmt.Errorf("notify the relays: %w", err)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("suspend %s: %w", username, err)
	}
	return ended, nil
}

// Restore lets a suspended user log in again. Ended sessions stay ended.
func Restore(ctx context.Context, db bun.IDB, username string) error {
	_, err := changeSuspension(ctx, db, `update users set suspended_at = null, suspension_reason = '', updated_at = now()
		where lower(username) = lower(?) and deleted_at is null returning id`, username)
	if err != nil {
		return fmt.Errorf("restore %s: %w", username, err)
	}
	return nil
}

func changeSuspension(ctx context.Context, db bun.IDB, update string, args ...any) (id chat.UserID, err error) {
	err = db.NewRaw(update, args...).Scan(ctx, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return id, ErrNoUser
	}
	return id, err
}

// Suspensions lists the suspended accounts, most recently suspended first.
func Suspensions(ctx context.Context, db bun.IDB) ([]Suspension, error) {
	var list []Suspension
	err := db.NewRaw(`select username, suspended_at, suspension_reason from users
		where suspended_at is not null and deleted_at is null order by suspended_at desc, username`).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("list suspended users: %w", err)
	}
	return list, nil
}

// errSuspended returns the error for a suspended user who entered the right password. Everybody
// else gets InvalidCredentials, so strangers cannot find out which accounts are suspended.
func errSuspended() error {
	return apierr.New(apierr.AccountSuspended, "This account is suspended. Contact an administrator.")
}

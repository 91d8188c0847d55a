// Package account implements user accounts: signup, login, sessions with their refresh tokens, and
// profiles.
//
// A session is one login together with all refresh tokens issued for it. Each refresh token can be
// used once. If a token is used a second time, it must have been copied. The session then ends,
// regardless of who holds the newer token.
package account

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/avatar"
	"parley.chat/chat-service/internal/httpapi"
	"parley.chat/chat-service/internal/password"
	"parley.chat/chat-service/internal/revoked"
)

// Config configures a Service. If an optional field is zero, its default is used.
type Config struct {
	API     *httpapi.API     // required, like the next seven fields
	DB      *bun.DB          //
	Log     *eventlog.Log    // notifies gateways of renewed sessions
	Hasher  *password.Hasher //
	Issuer  *token.Issuer    //
	Limits  Limits           //
	Revoked *revoked.Marks   //
	Poke    func()           // wakes the outbox relay

	Leave           []Leave       // called on account deletion, in lock order: groups, channels
	OpsOpen         bool          // whether every user is an operator
	FirstOperates   bool          // whether the first account to sign up becomes an operator
	RefreshTTL      time.Duration // how long a session lasts unless it is refreshed; default 30 days
	NameReservation time.Duration // how long a deleted account's username stays reserved; may be 0
	Pictures        Pictures      // required
	Logger          *slog.Logger  // default slog.Default()
}

// Pictures fetches users' pictures from user-supplied URLs. Its errors are *apierr.RuleErrors.
type Pictures interface {
	Fetch(ctx context.Context, address string) (avatar.Picture, error)
}

// Service implements the endpoints for accounts and sessions. It is safe for concurrent use.
type Service struct{ cfg Config }

// New validates cfg and returns a Service.
func New(cfg Config) (*Service, error) {
	if cfg.API == nil || cfg.DB == nil || cfg.Log == nil || cfg.Hasher == nil || cfg.Issuer == nil ||
		cfg.Limits == nil || cfg.Revoked == nil || cfg.Poke == nil || cfg.Pictures == nil {
		return nil, errors.New("account: a required field of Config is missing")
	}
	if cfg.RefreshTTL == 0 {
		cfg.RefreshTTL = 30 * 24 * time.Hour
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Service{cfg: cfg}, nil
}

// user is a row of the users table.
type user struct {
	bun.BaseModel `bun:"table:users,alias:u"`

	ID           chat.UserID `bun:"id,pk,type:uuid"`
	Username     string      `bun:"username"`
	Lookalike    string      `bun:"lookalike,nullzero"`
	Email        string      `bun:"email"`
	PasswordHash string      `bun:"password_hash"`
	DisplayName  string      `bun:"display_name"`
	Bio          string      `bun:"bio"`
	AvatarURL    string      `bun:"avatar_url"`
	Operator     bool        `bun:"operator"`
	CreatedAt    time.Time   `bun:"created_at"`
	SuspendedAt  *time.Time  `bun:"suspended_at"`
}

func (s *Service) me(u *user) api.Me {
	return api.Me{
		ID: u.ID, Username: u.Username, Email: u.Email, DisplayName: u.DisplayName, Bio: u.Bio, AvatarURL: u.AvatarURL,
		CreatedAt: chat.At(u.CreatedAt), Operator: u.Operator || s.cfg.OpsOpen,
	}
}

// errAccountDeleted returns the error for a valid token of a deleted user.
func errAccountDeleted() error {
	return apierr.New(apierr.Unauthenticated, "This account has been deleted.")
}

// Clean removes obsolete data once an hour until ctx is canceled. It removes refresh tokens that
// were used more than RefreshTTL ago and sessions that expired more than RefreshTTL ago. It also
// removes expired devices and expired username reservations.
func (s *Service) Clean(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.clean(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Logger.WarnContext(ctx, "failed to remove old sessions", "err", err)
			}
		}
	}
}

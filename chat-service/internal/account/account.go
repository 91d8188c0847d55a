// Package account is who uses Parley: signup, login, sessions and their refresh tokens, profiles.
//
// A session is one login, and the family of all refresh tokens that it ever had. Each of them is good
// once: one that comes again was copied, so its session ends, whoever has the newer one.
package account

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/avatar"
	"parley.chat/chat-service/internal/httpapi"
	"parley.chat/chat-service/internal/password"
	"parley.chat/chat-service/internal/revoked"
)

// Config configures a Service. A zero optional field means its default.
type Config struct {
	API     *httpapi.API     // required, as are the next seven
	DB      *bun.DB          //
	Log     *eventlog.Log    // tells gateways of renewed sessions
	Hasher  *password.Hasher //
	Issuer  *token.Issuer    //
	Limits  Limits           //
	Revoked *revoked.Marks   //
	Poke    func()           // wakes the outbox's relay

	Leave           []Leave       // what else a deleted account ends, in the order of the locks: groups, then channels
	OpsOpen         bool          // everybody is an operator
	FirstOperates   bool          // the first account to sign up becomes an operator
	RefreshTTL      time.Duration // default 30 days: how long a session lives without a refresh
	NameReservation time.Duration // how long nobody gets the username of a deleted account; 0: at once
	Pictures        Pictures      // required
	Logger          *slog.Logger  // default slog.Default()
}

// Pictures fetches the pictures that users name. Its errors complete a sentence that begins with the field's name.
type Pictures interface {
	Fetch(ctx context.Context, address string) (avatar.Picture, error)
}

// Service is the feature. It is safe for concurrent use.
type Service struct{ cfg Config }

// New checks cfg.
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

// user is a row of users.
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

// errGone is the answer to the valid token of a user who has been deleted.
func errGone() error { return apierr.New(apierr.Unauthenticated, "this account is gone") }

// Clean removes, every hour until ctx is done, what no longer matters: refresh tokens that are older than any
// session lives without a refresh, sessions that ended as long ago, and reservations of usernames that are over.
func (s *Service) Clean(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.clean(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Logger.WarnContext(ctx, "old sessions not removed", "err", err)
			}
		}
	}
}

package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/notice"

	"parley.chat/chat-service/internal/outbox"
)

const refreshBytes = 32

// tokens holds the tokens that a login or a refresh issued.
type tokens struct {
	session chat.SessionID
	access  string
	expires time.Time // when the access token expires
	refresh string
	device  string           // the next device token; set only after a login
	ended   []chat.SessionID // sessions that the login ended because of maxSessions
}

// maxSessions limits the number of active sessions per user.
const maxSessions = 50

// session is a row of the sessions table.
type session struct {
	bun.BaseModel `bun:"table:sessions,alias:s"`

	ID         chat.SessionID `bun:"id,pk,type:uuid"`
	UserID     chat.UserID    `bun:"user_id,type:uuid"`
	UserAgent  string         `bun:"user_agent"`
	Address    string         `bun:"address"`
	CreatedAt  time.Time      `bun:"created_at"`
	LastUsedAt time.Time      `bun:"last_used_at"`
	ExpiresAt  time.Time      `bun:"expires_at"`
}

// newRefresh returns a new refresh token. The database stores only its hash.
func newRefresh() (raw string, hash []byte) {
	b := make([]byte, refreshBytes)
	_, _ = rand.Read(b) // cannot fail since Go 1.24
	raw = base64.RawURLEncoding.EncodeToString(b)
	return raw, hashRefresh(raw)
}

func hashRefresh(raw string) []byte {
	sum := sha256.Sum256([]byte(raw))
	return sum[:]
}

// begin starts a session for u on device d.
func (s *Service) begin(ctx context.Context, tx bun.Tx, u *user, d device) (tokens, error) {
	now := time.Now()
	row := session{
		ID: chat.NewSessionID(), UserID: u.ID, UserAgent: d.userAgent,
		CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(s.cfg.RefreshTTL),
	}
	if d.address.IsValid() {
		row.Address = d.address.String()
	}
	if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
		return tokens{}, fmt.Errorf("begin session: %w", err)
	}
	t, err := s.issue(ctx, tx, row.ID, u.ID, u.Username)
	if err != nil {
		return tokens{}, err
	}
	if t.ended, err = endSurplus(ctx, tx, u.ID, row.ID); err != nil {
		return tokens{}, err
	}
	t.device, err = registerDevice(ctx, tx, u.ID, d)
	return t, err
}

// issue issues the next access token and refresh token of a session.
func (s *Service) issue(ctx context.Context, tx bun.Tx, id chat.SessionID, user chat.UserID, username string) (tokens, error) {
	t := tokens{session: id}
	var hash []byte
	t.refresh, hash = newRefresh()
	if _, err := tx.NewRaw("insert into refresh_tokens (token_hash, session_id) values (?, ?)", hash, id).Exec(ctx); err != nil {
		return tokens{}, fmt.Errorf("store refresh token: %w", err)
	}
	var err error
	t.access, t.expires, err = s.cfg.Issuer.Issue(token.Claims{UserID: user, SessionID: id, Username: username})
	return t, err
}

// refresh exchanges a refresh token for new tokens. If a token is used more than once, only the
// first request gets new tokens. The second request ends the session.
func (s *Service) refresh(ctx context.Context, raw string) (tokens, error) {
	hash := hashRefresh(raw)
	var t tokens
	var owner *user
	var refused error
	err := s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		refused = nil
		id, used, err := use(ctx, tx, hash)
		if err != nil {
			return err
		}
		if id.IsZero() {
			refused = apierr.New(apierr.Unauthenticated, "This refresh token is not valid.")
			return nil
		}
		owner, err = s.renew(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case owner == nil:
			refused = apierr.New(apierr.Unauthenticated, "This session has ended.")
			return nil
		case used:
			refused = apierr.New(apierr.Unauthenticated, "This refresh token has already been used, so the session was ended.")
			return s.end(ctx, tx, owner.ID, id)
		}
		t, err = s.issue(ctx, tx, id, owner.ID, owner.Username)
		t.session = id
		return err
	})
	if err != nil {
		return tokens{}, fmt.Errorf("refresh: %w", err)
	}
	if refused != nil {
		s.cfg.Poke() // the session may have ended
		return tokens{}, refused
	}
	s.notifyRenewed(ctx, owner.ID, t)
	return t, nil
}

// use marks a refresh token as used. It returns the token's session and reports whether the token
// had been used before. The token stays locked until the transaction ends. If two requests use the
// token concurrently, the second one therefore finds it already used. For an unknown token it
// returns a zero session id.
func use(ctx context.Context, tx bun.Tx, hash []byte) (id chat.SessionID, used bool, err error) {
	var row struct {
		SessionID chat.SessionID `bun:"session_id,type:uuid"`
		Used      bool           `bun:"used"`
	}
	err = tx.NewRaw("select session_id, used_at is not null as used from refresh_tokens where token_hash = ? for update", hash).
		Scan(ctx, &row)
	if errors.Is(err, sql.ErrNoRows) {
		return chat.SessionID{}, false, nil
	}
	if err != nil {
		return chat.SessionID{}, false, fmt.Errorf("find refresh token: %w", err)
	}
	if !row.Used {
		if _, err := tx.NewRaw("update refresh_tokens set used_at = now() where token_hash = ?", hash).Exec(ctx); err != nil {
			return chat.SessionID{}, false, fmt.Errorf("use refresh token: %w", err)
		}
	}
	return row.SessionID, row.Used, nil
}

// renew extends an active session and returns its user. It returns nil if the session has ended.
func (s *Service) renew(ctx context.Context, tx bun.Tx, id chat.SessionID) (*user, error) {
	u := new(user)
	err := tx.NewRaw(`update sessions s set last_used_at = now(), expires_at = ? from users u
		where s.id = ? and s.revoked_at is null and s.expires_at > now() and u.id = s.user_id and u.deleted_at is null and u.suspended_at is null
		returning u.id, u.username`, time.Now().Add(s.cfg.RefreshTTL), id).Scan(ctx, u)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("renew session: %w", err)
	}
	return u, nil
}

// end ends a user's session and adds its revocation to the outbox. If the session has already
// ended, end does nothing.
func (s *Service) end(ctx context.Context, tx bun.Tx, owner chat.UserID, id chat.SessionID) error {
	res, err := tx.NewRaw("update sessions set revoked_at = now() where id = ? and user_id = ? and revoked_at is null", id, owner).Exec(ctx)
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return outbox.Add(ctx, tx, outbox.Revocation(owner, id))
}

// revoke ends a session. When it returns, this instance no longer accepts the session's tokens. It
// returns false if the user has no session with this id, and true even if the session had already
// ended.
func (s *Service) revoke(ctx context.Context, owner chat.UserID, id chat.SessionID) (bool, error) {
	var found bool
	err := s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		err := tx.NewRaw("select exists (select 1 from sessions where id = ? and user_id = ?)", id, owner).Scan(ctx, &found)
		if err != nil || !found {
			return err
		}
		return s.end(ctx, tx, owner, id)
	})
	if err != nil {
		return false, fmt.Errorf("revoke session: %w", err)
	}
	if !found {
		return false, nil
	}
	s.publishEnded(ctx, owner, []chat.SessionID{id})
	return true, nil
}

// ownerOf returns the user and session that a refresh token belongs to, even if the token has been
// used. For an unknown token it returns zero ids.
func (s *Service) ownerOf(ctx context.Context, raw string) (owner chat.UserID, id chat.SessionID, err error) {
	var row struct {
		UserID    chat.UserID    `bun:"user_id,type:uuid"`
		SessionID chat.SessionID `bun:"session_id,type:uuid"`
	}
	err = s.cfg.DB.NewRaw(`select s.user_id, s.id as session_id from refresh_tokens r join sessions s on s.id = r.session_id
		where r.token_hash = ?`, hashRefresh(raw)).Scan(ctx, &row)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return owner, id, fmt.Errorf("find the session of a refresh token: %w", err)
	}
	return row.UserID, row.SessionID, nil
}

// notifyRenewed notifies the gateways of the session's new expiry time, so that they keep its
// connections open. A connection whose gateway misses the notice is closed with 4001, and its
// client reconnects with the new token.
func (s *Service) notifyRenewed(ctx context.Context, owner chat.UserID, t tokens) {
	until := chat.At(t.expires)
	n := notice.Notice{Kind: notice.SessionRenewed, UserID: owner, SessionID: &t.session, ExpiresAt: &until}
	soon, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	if err := s.cfg.Log.Notify(soon, n); err != nil {
		s.cfg.Logger.WarnContext(ctx, "failed to notify gateways of a renewed session", "session_id", t.session.String(), "err", err)
	}
}

// sessions returns the active sessions of a user. The session with id own comes first. The others
// are sorted by last use, newest first.
func (s *Service) sessions(ctx context.Context, owner chat.UserID, own chat.SessionID) ([]session, error) {
	rows := []session{}
	err := s.cfg.DB.NewSelect().Model(&rows).Where("user_id = ?", owner).
		Where("revoked_at is null and expires_at > now()").OrderExpr("id = ? desc, last_used_at desc, id", own).Limit(maxSessions).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return rows, nil
}

func (s *Service) clean(ctx context.Context) error {
	old := time.Now().Add(-s.cfg.RefreshTTL)
	if _, err := s.cfg.DB.NewRaw("delete from refresh_tokens where used_at < ?", old).Exec(ctx); err != nil {
		return fmt.Errorf("remove old refresh tokens: %w", err)
	}
	if _, err := s.cfg.DB.NewRaw("delete from sessions where expires_at < ?", old).Exec(ctx); err != nil {
		return fmt.Errorf("remove old sessions: %w", err)
	}
	if _, err := s.cfg.DB.NewRaw("delete from devices where used_at < ?", time.Now().Add(-deviceTTL)).Exec(ctx); err != nil {
		return fmt.Errorf("forget old devices: %w", err)
	}
	if _, err := s.cfg.DB.NewRaw("delete from reserved_names where until < now()").Exec(ctx); err != nil {
		return fmt.Errorf("remove old reservations of usernames: %w", err)
	}
	return nil
}

package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

const (
	maxDisplayNameChars = 80
	maxBioChars         = 500
	maxAvatarURLChars   = 500
)

func (s *Service) load(ctx context.Context, id chat.UserID) (*user, error) {
	u := new(user)
	err := s.cfg.DB.NewSelect().Model(u).Where("id = ? and deleted_at is null", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errGone()
	}
	if err != nil {
		return nil, fmt.Errorf("load user: %w", err)
	}
	return u, nil
}

// patch is a change of a profile; a nil field stays as it is.
type patch struct {
	DisplayName *string `json:"display_name"`
	Bio         *string `json:"bio"`
	AvatarURL   *string `json:"avatar_url"`
}

func (p patch) check() error {
	var fields []apierr.Field
	check := func(field string, text *string, rule func(string) error) {
		if text == nil {
			return
		}
		if err := rule(*text); err != nil {
			fields = append(fields, apierr.Field{Field: field, Message: err.Error()})
		}
	}
	check("display_name", p.DisplayName, func(t string) error { return chat.CheckLine(t, maxDisplayNameChars) })
	check("bio", p.Bio, checkBio)
	check("avatar_url", p.AvatarURL, checkAvatarURL)
	return invalid(fields)
}

func checkBio(bio string) error {
	if bio == "" {
		return nil
	}
	if n := len([]rune(bio)); n > maxBioChars {
		return fmt.Errorf("has %d characters, at most %d", n, maxBioChars)
	}
	return chat.CheckBody(bio, 0)
}

func checkAvatarURL(address string) error {
	if err := chat.CheckLine(address, maxAvatarURLChars); err != nil || address == "" {
		return err
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return errors.New("is not an http or https address")
	}
	return nil
}

func (s *Service) update(ctx context.Context, id chat.UserID, p patch) (*user, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	q := s.cfg.DB.NewUpdate().Model((*user)(nil)).Set("updated_at = now()").Where("id = ? and deleted_at is null", id)
	for column, text := range map[string]*string{"display_name": p.DisplayName, "bio": p.Bio, "avatar_url": p.AvatarURL} {
		if text != nil {
			q = q.Set(column+" = ?", *text)
		}
	}
	if _, err := q.Exec(ctx); err != nil {
		return nil, fmt.Errorf("update profile: %w", err)
	}
	return s.load(ctx, id)
}

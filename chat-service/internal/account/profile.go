package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"parley.chat/internal/names"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
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

// checkProfile puts names into their one form and finds what the document cannot say of a change. What a nil field is of stays as it is.
func checkProfile(p *api.ProfileChange) error {
	var fields []apierr.Field
	check := func(field string, text *string, rule func(string) error) {
		if text == nil {
			return
		}
		if err := rule(*text); err != nil {
			fields = append(fields, apierr.Field{Field: field, Message: err.Error()})
		}
	}
	if p.DisplayName != nil && *p.DisplayName != "" { // without one people are called by their usernames
		name, err := names.CleanDisplay(*p.DisplayName)
		check("display_name", p.DisplayName, func(string) error { return err })
		p.DisplayName = &name
	}
	check("bio", p.Bio, checkBio)
	check("avatar_url", p.AvatarURL, checkAvatarURL)
	return invalid(fields)
}

// checkBio refuses one of blanks alone.
func checkBio(bio string) error {
	if bio == "" {
		return nil
	}
	return chat.CheckBody(bio, 0)
}

func checkAvatarURL(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return errors.New("is not an http or https address")
	}
	return nil
}

func (s *Service) update(ctx context.Context, id chat.UserID, p api.ProfileChange) (*user, error) {
	if p.Bio != nil {
		*p.Bio = chat.NormalizeBody(*p.Bio)
	}
	if err := checkProfile(&p); err != nil {
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

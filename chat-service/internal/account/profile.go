package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/internal/names"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/avatar"
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
	return invalid(fields)
}

// checkBio refuses one of blanks alone.
func checkBio(bio string) error {
	if bio == "" {
		return nil
	}
	return chat.CheckBody(bio, 0)
}

func (s *Service) update(ctx context.Context, id chat.UserID, p api.ProfileChange) (*user, error) {
	if p.Bio != nil {
		*p.Bio = chat.NormalizeBody(*p.Bio)
	}
	if err := checkProfile(&p); err != nil {
		return nil, err
	}
	if p.AvatarURL == nil {
		return s.change(ctx, id, p, nil)
	}
	// Fetching takes seconds, so it comes before the transaction.
	picture, err := s.picture(ctx, id, p.AvatarURL)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, id, p, picture)
}

// picture fetches the picture that a change names. It is nil if there is none to be kept: the change removes the
// picture, or names the one that the user has, and then changes nothing of it.
func (s *Service) picture(ctx context.Context, id chat.UserID, address *string) (*avatar.Picture, error) {
	if *address == "" {
		return nil, nil
	}
	u, err := s.load(ctx, id)
	if err != nil {
		return nil, err
	}
	if *address == u.AvatarURL {
		return nil, nil
	}
	p, err := s.cfg.Pictures.Fetch(ctx, *address)
	if err != nil {
		return nil, invalid([]apierr.Field{{Field: "avatar_url", Message: err.Error()}})
	}
	return &p, nil
}

// change writes a change of a profile that was checked, with the picture that was fetched for it.
func (s *Service) change(ctx context.Context, id chat.UserID, p api.ProfileChange, picture *avatar.Picture) (*user, error) {
	err := s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		q := tx.NewUpdate().Model((*user)(nil)).Set("updated_at = now()").Where("id = ? and deleted_at is null", id)
		for column, text := range map[string]*string{"display_name": p.DisplayName, "bio": p.Bio} {
			if text != nil {
				q = q.Set(column+" = ?", *text)
			}
		}
		switch {
		case picture != nil:
			address, err := avatar.Keep(ctx, tx, id, *picture)
			if err != nil {
				return err
			}
			q = q.Set("avatar_url = ?", address)
		case p.AvatarURL != nil && *p.AvatarURL == "":
			if err := avatar.Remove(ctx, tx, id); err != nil {
				return err
			}
			q = q.Set("avatar_url = ''")
		}
		res, err := q.Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, errGone()) // deleted while the picture was fetched: it is not kept
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("update profile: %w", err)
	}
	return s.load(ctx, id)
}

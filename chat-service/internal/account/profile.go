package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/internal/platform/names"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/avatar"
)

func (s *Service) load(ctx context.Context, id chat.UserID) (*user, error) {
	u := new(user)
	err := s.cfg.DB.NewSelect().Model(u).Where("id = ? and deleted_at is null", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errAccountDeleted()
	}
	if err != nil {
		return nil, fmt.Errorf("load user: %w", err)
	}
	return u, nil
}

// checkProfile normalizes the names in a profile change and checks the rules that the API document
// cannot express. Fields that are nil are not changed.
func checkProfile(p *api.ProfileChange) error {
	var fields []apierr.FieldError
	check := func(field string, text *string, rule func(string) error) {
		if text == nil {
			return
		}
		if err := rule(*text); err != nil {
			fields = append(fields, apierr.FieldOf(field, err))
		}
	}
	if p.DisplayName != nil && *p.DisplayName != "" { // without a display name, clients show the username
		name, err := names.CleanDisplay(*p.DisplayName)
		check("display_name", p.DisplayName, func(string) error { return err })
		p.DisplayName = &name
	}
	check("bio", p.Bio, checkBio)
	return apierr.InvalidFields(fields)
}

// checkBio refuses a bio that is blank but not empty.
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
	// Fetch the picture before the transaction, because the fetch can take seconds.
	picture, err := s.picture(ctx, id, p.AvatarURL)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, id, p, picture)
}

// picture fetches the picture at the URL in a profile change. It returns nil if there is nothing to
// fetch, because the change removes the picture or contains the URL of the current one.
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
	if _, ok := errors.AsType[*apierr.RuleError](err); ok {
		return nil, apierr.Invalid("avatar_url", err)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch picture: %w", err)
	}
	return &p, nil
}

// change stores a validated profile change, together with the picture that was fetched for it.
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
			address, err := avatar.Store(ctx, tx, id, *picture)
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
			return errors.Join(err, errAccountDeleted()) // the account was deleted while the picture was fetched; the transaction is rolled back
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("update profile: %w", err)
	}
	return s.load(ctx, id)
}

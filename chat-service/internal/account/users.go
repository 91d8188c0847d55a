package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/httpapi"
)

// other is the public view of a user.
type other struct {
	user
	SortName string `bun:"sort_name"`
	Deleted  bool   `bun:"deleted"`
}

const otherColumns = `u.id, u.username, u.display_name, u.bio, u.avatar_url, u.created_at,
	lower(u.username) as sort_name, u.deleted_at is not null as deleted`

func (o *other) profile() api.User {
	p := api.User{ID: o.ID, CreatedAt: chat.At(o.CreatedAt), Deleted: o.Deleted}
	if !o.Deleted {
		p.Username, p.DisplayName, p.Bio, p.AvatarURL = o.Username, o.DisplayName, o.Bio, o.AvatarURL
	}
	return p
}

// GetUser handles GET /v1/users/{id}.
func (s *Service) GetUser(ctx context.Context, in api.GetUserRequestObject) (api.GetUserResponseObject, error) {
	var o other
	err := s.cfg.DB.NewSelect().TableExpr("users u").ColumnExpr(otherColumns).Where("u.id = ?", in.ID).Scan(ctx, &o)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, apierr.New(apierr.NotFound, "This user does not exist.")
	}
	if err != nil {
		return nil, fmt.Errorf("load user %s: %w", in.ID, err)
	}
	return api.GetUser200JSONResponse(o.profile()), nil
}

// GetProfiles handles GET /v1/profiles.
func (s *Service) GetProfiles(ctx context.Context, in api.GetProfilesRequestObject) (api.GetProfilesResponseObject, error) {
	ids := strings.Split(in.Params.Ids, ",")
	var rows []other
	err := s.cfg.DB.NewSelect().TableExpr("users u").ColumnExpr(otherColumns).Where("u.id in (?)", bun.List(ids)).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("load %d users: %w", len(ids), err)
	}
	found := api.GetProfiles200JSONResponse{Items: make([]api.User, len(rows))}
	for i := range rows {
		found.Items[i] = rows[i].profile()
	}
	return found, nil
}

// listUsers is the operation name that the cursors of the user list contain.
const listUsers = "listUsers"

// position is the last user of a page; the next page begins after it.
type position struct {
	Name string      `json:"n"` // in lower case
	ID   chat.UserID `json:"i"`
}

// maxSortNameChars limits the length of the lowercase name in a cursor of the user list. It exceeds
// the maximum length of a username, because lowercasing can lengthen a name.
const maxSortNameChars = 4 * chat.MaxUsernameChars

// ListUsers handles GET /v1/users.
func (s *Service) ListUsers(ctx context.Context, in api.ListUsersRequestObject) (api.ListUsersResponseObject, error) {
	limit := httpapi.Limit(in.Params.Limit)
	prefix := escapeLike.Replace(in.Params.Query) + "%"
	q := s.cfg.DB.NewSelect().TableExpr("users u").ColumnExpr(otherColumns).Where("u.deleted_at is null").
		Where("(lower(u.username) like lower(?) or lower(u.display_name) like lower(?))", prefix, prefix)
	var after position
	given, err := httpapi.DecodeCursor(listUsers, in.Params.Cursor, &after)
	if err != nil {
		return nil, err
	}
	if given {
		if chat.CheckLine(after.Name, maxSortNameChars) != nil {
			return nil, httpapi.ErrCursor()
		}
		q = q.Where("(lower(u.username), u.id) > (?, ?)", after.Name, after.ID)
	}
	var rows []other
	if err := q.OrderExpr("lower(u.username), u.id").Limit(int64(limit)+1).Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("find users: %w", err)
	}
	page := api.ListUsers200JSONResponse{Items: []api.User{}}
	if len(rows) > limit {
		rows = rows[:limit]
		page.NextCursor = httpapi.Cursor(listUsers, position{rows[limit-1].SortName, rows[limit-1].ID})
	}
	for i := range rows {
		page.Items = append(page.Items, rows[i].profile())
	}
	return page, nil
}

// escapeLike escapes the special characters of LIKE.
var escapeLike = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

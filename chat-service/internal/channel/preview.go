package channel

import (
	"context"
	"fmt"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/httpapi"
)

// GetChannelPreview handles GET /v1/channels/{id}/preview. Unlike GetChannel, it also serves users
// who are not members but may join.
func (s *Service) GetChannelPreview(ctx context.Context, in api.GetChannelPreviewRequestObject) (api.GetChannelPreviewResponseObject, error) {
	user := httpapi.UserOf(ctx).UserID
	access, err := accessOf(ctx, s.cfg.DB, in.ID, user)
	if err != nil {
		return nil, err
	}
	var row struct {
		Name        string `bun:"name"`
		Description string `bun:"description"`
		MemberCount int    `bun:"member_count"`
		Banned      bool   `bun:"banned"`
	}
	err = s.cfg.DB.NewRaw(`select c.name, c.description, c.member_count,
			exists (select from channel_bans b where b.channel_id = c.id and b.user_id = ?) as banned
		from channels c where c.id = ?`, user, in.ID).Scan(ctx, &row)
	if err != nil {
		return nil, fmt.Errorf("load preview of channel %s: %w", in.ID, err)
	}
	return api.GetChannelPreview200JSONResponse{
		ID: in.ID, Name: row.Name, Kind: access.Kind, Description: row.Description, MemberCount: row.MemberCount, Banned: row.Banned,
	}, nil
}

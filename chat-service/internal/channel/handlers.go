package channel

import (
	"context"

	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/httpapi"
	"parley.chat/chat-service/internal/roster"
)

// CreateChannel handles POST /v1/channels.
func (s *Service) CreateChannel(ctx context.Context, in api.CreateChannelRequestObject) (api.CreateChannelResponseObject, error) {
	sum, err := s.create(ctx, httpapi.UserOf(ctx), *in.Body)
	if err != nil {
		return nil, err
	}
	return api.CreateChannel201JSONResponse{ChannelMadeAnswerJSONResponse: Made(sum)}, nil
}

// Made returns the response that describes a new channel.
func Made(c api.Channel) api.ChannelMadeAnswerJSONResponse {
	return api.ChannelMadeAnswerJSONResponse{
		Body: c, Headers: api.ChannelMadeAnswerResponseHeaders{Location: "/v1/channels/" + c.ID.String()},
	}
}

// Names of the list operations. A cursor is valid only for the operation that issued it.
const (
	listChannels      = "listChannels"
	listGroupChannels = "listGroupChannels"
)

// ListChannels handles GET /v1/channels.
func (s *Service) ListChannels(ctx context.Context, in api.ListChannelsRequestObject) (api.ListChannelsResponseObject, error) {
	l := listing{user: httpapi.UserOf(ctx).UserID, limit: httpapi.Limit(in.Params.Limit)}
	l.mine = in.Params.Mine != nil && *in.Params.Mine
	if in.Params.Query != nil {
		l.query = *in.Params.Query
	}
	page, err := s.page(ctx, l, in.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return api.ListChannels200JSONResponse{ChannelsAnswerJSONResponse: api.ChannelsAnswerJSONResponse(page)}, nil
}

// page returns the page of channels that begins at a cursor.
func (s *Service) page(ctx context.Context, l listing, cursor *string) (page api.ChannelPage, err error) {
	list := listChannels
	if l.group != nil {
		list = listGroupChannels
	}
	var after position
	given, err := httpapi.DecodeCursor(list, cursor, &after)
	if err != nil {
		return page, err
	}
	if given {
		if chat.CheckLine(after.Name, 4*chat.MaxChannelNameChars) != nil {
			return page, httpapi.ErrCursor()
		}
		l.after = &after
	}
	var next *position
	if page.Items, next, err = s.list(ctx, l); err != nil {
		return page, err
	}
	if next != nil {
		page.NextCursor = httpapi.Cursor(list, next)
	}
	return page, nil
}

// GetChannel handles GET /v1/channels/{id}.
func (s *Service) GetChannel(ctx context.Context, in api.GetChannelRequestObject) (api.GetChannelResponseObject, error) {
	sum, err := s.get(ctx, in.ID, httpapi.UserOf(ctx).UserID)
	if err != nil {
		return nil, err
	}
	return api.GetChannel200JSONResponse{ChannelAnswerJSONResponse: api.ChannelAnswerJSONResponse(sum)}, nil
}

// JoinChannel handles POST /v1/channels/{id}/join.
func (s *Service) JoinChannel(ctx context.Context, in api.JoinChannelRequestObject) (api.JoinChannelResponseObject, error) {
	user := httpapi.UserOf(ctx)
	if err := s.join(ctx, in.ID, user); err != nil {
		return nil, err
	}
	sum, err := s.get(ctx, in.ID, user.UserID)
	if err != nil {
		return nil, err
	}
	return api.JoinChannel200JSONResponse{ChannelAnswerJSONResponse: api.ChannelAnswerJSONResponse(sum)}, nil
}

// LeaveChannel handles POST /v1/channels/{id}/leave.
func (s *Service) LeaveChannel(ctx context.Context, in api.LeaveChannelRequestObject) (api.LeaveChannelResponseObject, error) {
	if err := s.leave(ctx, in.ID, httpapi.UserOf(ctx)); err != nil {
		return nil, err
	}
	return api.LeaveChannel204Response{}, nil
}

// UpdateChannel handles PATCH /v1/channels/{id}.
func (s *Service) UpdateChannel(ctx context.Context, in api.UpdateChannelRequestObject) (api.UpdateChannelResponseObject, error) {
	user := httpapi.UserOf(ctx)
	if err := s.update(ctx, in.ID, user, *in.Body); err != nil {
		return nil, err
	}
	sum, err := s.get(ctx, in.ID, user.UserID)
	if err != nil {
		return nil, err
	}
	return api.UpdateChannel200JSONResponse{ChannelAnswerJSONResponse: api.ChannelAnswerJSONResponse(sum)}, nil
}

// DeleteChannel handles DELETE /v1/channels/{id}.
func (s *Service) DeleteChannel(ctx context.Context, in api.DeleteChannelRequestObject) (api.DeleteChannelResponseObject, error) {
	if err := s.close(ctx, in.ID, httpapi.UserOf(ctx)); err != nil {
		return nil, err
	}
	return api.DeleteChannel204Response{}, nil
}

// ListMembers handles GET /v1/channels/{id}/members.
func (s *Service) ListMembers(ctx context.Context, in api.ListMembersRequestObject) (api.ListMembersResponseObject, error) {
	if _, err := Admit(ctx, s.cfg.DB, in.ID, httpapi.UserOf(ctx).UserID); err != nil {
		return nil, err
	}
	page, err := roster.OfChannel(in.ID).Page(ctx, s.cfg.DB, in.Params.Cursor, httpapi.Limit(in.Params.Limit))
	if err != nil {
		return nil, err
	}
	return api.ListMembers200JSONResponse(page), nil
}

// AddMember handles POST /v1/channels/{id}/members.
func (s *Service) AddMember(ctx context.Context, in api.AddMemberRequestObject) (api.AddMemberResponseObject, error) {
	role := chat.Member
	if in.Body.Role != nil {
		role = *in.Body.Role
	}
	m, invited, err := s.add(ctx, in.ID, httpapi.UserOf(ctx), in.Body.UserID, role)
	if err != nil {
		return nil, err
	}
	if invited != nil {
		return api.AddMember202JSONResponse(*invited), nil
	}
	return api.AddMember200JSONResponse(m), nil
}

// UpdateMember handles PATCH /v1/channels/{id}/members/{user_id}.
func (s *Service) UpdateMember(ctx context.Context, in api.UpdateMemberRequestObject) (api.UpdateMemberResponseObject, error) {
	m, err := s.setRole(ctx, in.ID, httpapi.UserOf(ctx), in.UserID, in.Body.Role)
	if err != nil {
		return nil, err
	}
	return api.UpdateMember200JSONResponse(m), nil
}

// RemoveMember handles DELETE /v1/channels/{id}/members/{user_id}.
func (s *Service) RemoveMember(ctx context.Context, in api.RemoveMemberRequestObject) (api.RemoveMemberResponseObject, error) {
	if err := s.remove(ctx, in.ID, httpapi.UserOf(ctx), in.UserID, in.Params.Ban != nil && *in.Params.Ban); err != nil {
		return nil, err
	}
	return api.RemoveMember204Response{}, nil
}

// ListGroupChannels handles GET /v1/groups/{id}/channels.
func (s *Service) ListGroupChannels(ctx context.Context, in api.ListGroupChannelsRequestObject) (api.ListGroupChannelsResponseObject, error) {
	user := httpapi.UserOf(ctx).UserID
	if err := s.inGroup(ctx, in.ID, user); err != nil {
		return nil, err
	}
	page, err := s.page(ctx, listing{user: user, group: &in.ID, limit: httpapi.Limit(in.Params.Limit)}, in.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return api.ListGroupChannels200JSONResponse{ChannelsAnswerJSONResponse: api.ChannelsAnswerJSONResponse(page)}, nil
}

// CreateGroupChannel handles POST /v1/groups/{id}/channels.
func (s *Service) CreateGroupChannel(ctx context.Context, in api.CreateGroupChannelRequestObject) (api.CreateGroupChannelResponseObject, error) {
	made, err := s.create(ctx, httpapi.UserOf(ctx), api.ChannelCreation{
		Name: in.Body.Name, Kind: in.Body.Kind, Description: in.Body.Description, GroupID: &in.ID, MentionAll: in.Body.MentionAll,
	})
	if err != nil {
		return nil, err
	}
	return api.CreateGroupChannel201JSONResponse{ChannelMadeAnswerJSONResponse: Made(made)}, nil
}

package group

import (
	"context"

	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/httpapi"
	"parley.chat/chat-service/internal/roster"
)

// listGroups is the name of the list operation. A cursor is valid only for the operation that
// issued it.
const listGroups = "listGroups"

// ListGroups handles GET /v1/groups.
func (s *Service) ListGroups(ctx context.Context, in api.ListGroupsRequestObject) (api.ListGroupsResponseObject, error) {
	var at position
	given, err := httpapi.DecodeCursor(listGroups, in.Params.Cursor, &at)
	if err != nil {
		return nil, err
	}
	after := &at
	if !given {
		after = nil
	} else if chat.CheckLine(at.Name, 4*chat.MaxChannelNameChars) != nil {
		return nil, httpapi.ErrCursor()
	}
	groups, next, err := s.list(ctx, httpapi.UserOf(ctx).UserID, after, httpapi.Limit(in.Params.Limit))
	if err != nil {
		return nil, err
	}
	page := api.GroupPage{Items: groups}
	if next != nil {
		page.NextCursor = httpapi.Cursor(listGroups, next)
	}
	return api.ListGroups200JSONResponse(page), nil
}

// CreateGroup handles POST /v1/groups.
func (s *Service) CreateGroup(ctx context.Context, in api.CreateGroupRequestObject) (api.CreateGroupResponseObject, error) {
	g, err := s.create(ctx, httpapi.UserOf(ctx), *in.Body)
	if err != nil {
		return nil, err
	}
	return api.CreateGroup201JSONResponse{
		Body: g, Headers: api.CreateGroup201ResponseHeaders{Location: "/v1/groups/" + g.ID.String()},
	}, nil
}

// GetGroup handles GET /v1/groups/{id}.
func (s *Service) GetGroup(ctx context.Context, in api.GetGroupRequestObject) (api.GetGroupResponseObject, error) {
	g, err := s.get(ctx, in.ID, httpapi.UserOf(ctx).UserID)
	if err != nil {
		return nil, err
	}
	return api.GetGroup200JSONResponse(g), nil
}

// UpdateGroup handles PATCH /v1/groups/{id}.
func (s *Service) UpdateGroup(ctx context.Context, in api.UpdateGroupRequestObject) (api.UpdateGroupResponseObject, error) {
	user := httpapi.UserOf(ctx)
	if err := s.update(ctx, in.ID, user, *in.Body); err != nil {
		return nil, err
	}
	g, err := s.get(ctx, in.ID, user.UserID)
	if err != nil {
		return nil, err
	}
	return api.UpdateGroup200JSONResponse(g), nil
}

// DeleteGroup handles DELETE /v1/groups/{id}.
func (s *Service) DeleteGroup(ctx context.Context, in api.DeleteGroupRequestObject) (api.DeleteGroupResponseObject, error) {
	return api.DeleteGroup204Response{}, s.remove(ctx, in.ID, httpapi.UserOf(ctx))
}

// ListGroupMembers handles GET /v1/groups/{id}/members.
func (s *Service) ListGroupMembers(ctx context.Context, in api.ListGroupMembersRequestObject) (api.ListGroupMembersResponseObject, error) {
	if _, err := s.get(ctx, in.ID, httpapi.UserOf(ctx).UserID); err != nil {
		return nil, err
	}
	page, err := roster.OfGroup(in.ID).Page(ctx, s.db, in.Params.Cursor, httpapi.Limit(in.Params.Limit))
	if err != nil {
		return nil, err
	}
	return api.ListGroupMembers200JSONResponse(page), nil
}

// AddGroupMember handles POST /v1/groups/{id}/members.
func (s *Service) AddGroupMember(ctx context.Context, in api.AddGroupMemberRequestObject) (api.AddGroupMemberResponseObject, error) {
	role := chat.Member
	if in.Body.Role != nil {
		role = *in.Body.Role
	}
	m, invited, err := s.add(ctx, in.ID, httpapi.UserOf(ctx), in.Body.UserID, role)
	if err != nil {
		return nil, err
	}
	if invited != nil {
		return api.AddGroupMember202JSONResponse(*invited), nil
	}
	return api.AddGroupMember200JSONResponse(m), nil
}

// UpdateGroupMember handles PATCH /v1/groups/{id}/members/{user_id}.
func (s *Service) UpdateGroupMember(ctx context.Context, in api.UpdateGroupMemberRequestObject) (api.UpdateGroupMemberResponseObject, error) {
	m, err := s.setRole(ctx, in.ID, httpapi.UserOf(ctx), in.UserID, in.Body.Role)
	if err != nil {
		return nil, err
	}
	return api.UpdateGroupMember200JSONResponse(m), nil
}

// RemoveGroupMember handles DELETE /v1/groups/{id}/members/{user_id}.
func (s *Service) RemoveGroupMember(ctx context.Context, in api.RemoveGroupMemberRequestObject) (api.RemoveGroupMemberResponseObject, error) {
	return api.RemoveGroupMember204Response{}, s.expel(ctx, in.ID, httpapi.UserOf(ctx), in.UserID)
}

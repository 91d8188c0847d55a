package contact

import (
	"context"

	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/httpapi"
)

// listContacts is the operation name that the cursors of the contact list contain.
const listContacts = "listContacts"

// ListContacts handles GET /v1/contacts.
func (s *Service) ListContacts(ctx context.Context, r api.ListContactsRequestObject) (api.ListContactsResponseObject, error) {
	var state api.ContactState
	if r.Params.State != nil {
		state = *r.Params.State
	}
	var after position
	given, err := httpapi.DecodeCursor(listContacts, r.Params.Cursor, &after)
	if err != nil {
		return nil, err
	}
	from := &after
	if !given {
		from = nil
	} else if chat.CheckLine(after.Name, chat.MaxUsernameChars) != nil {
		return nil, httpapi.ErrCursor()
	}
	rows, next, err := s.list(ctx, httpapi.UserOf(ctx).UserID, state, from, httpapi.Limit(r.Params.Limit))
	if err != nil {
		return nil, err
	}
	page := api.ContactPage{Items: make([]api.Contact, 0, len(rows))}
	for i := range rows {
		if c, any := rows[i].contact(); any {
			page.Items = append(page.Items, c)
		}
	}
	if next != nil {
		page.NextCursor = httpapi.Cursor(listContacts, next)
	}
	return api.ListContacts200JSONResponse(page), nil
}

// RequestContact handles POST /v1/contacts.
func (s *Service) RequestContact(ctx context.Context, r api.RequestContactRequestObject) (api.RequestContactResponseObject, error) {
	found, err := s.request(ctx, httpapi.UserOf(ctx).UserID, r.Body.UserID)
	if err != nil {
		return nil, err
	}
	c, _ := found.contact()
	return api.RequestContact200JSONResponse(c), nil
}

// RemoveContact handles DELETE /v1/contacts/{user_id}.
func (s *Service) RemoveContact(ctx context.Context, r api.RemoveContactRequestObject) (api.RemoveContactResponseObject, error) {
	return api.RemoveContact204Response{}, s.remove(ctx, httpapi.UserOf(ctx).UserID, r.UserID)
}

// BlockUser handles POST /v1/contacts/{user_id}/block.
func (s *Service) BlockUser(ctx context.Context, r api.BlockUserRequestObject) (api.BlockUserResponseObject, error) {
	return api.BlockUser204Response{}, s.block(ctx, httpapi.UserOf(ctx).UserID, r.UserID)
}

// UnblockUser handles DELETE /v1/contacts/{user_id}/block.
func (s *Service) UnblockUser(ctx context.Context, r api.UnblockUserRequestObject) (api.UnblockUserResponseObject, error) {
	return api.UnblockUser204Response{}, s.unblock(ctx, httpapi.UserOf(ctx).UserID, r.UserID)
}

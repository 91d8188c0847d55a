package channel

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/httpapi"
	"parley.chat/chat-service/internal/invitation"
)

// admitInviter returns the caller's access to a channel. It returns an error unless the caller is a
// member who may add other users.
func (s *Service) admitInviter(ctx context.Context, channel chat.ChannelID) (Access, error) {
	access, err := Admit(ctx, s.cfg.DB, channel, httpapi.UserOf(ctx).UserID)
	if err == nil {
		err = access.Allow(chat.Invite)
	}
	return access, err
}

// ListChannelInvitations handles GET /v1/channels/{id}/invitations.
func (s *Service) ListChannelInvitations(ctx context.Context, in api.ListChannelInvitationsRequestObject) (api.ListChannelInvitationsResponseObject, error) {
	if _, err := s.admitInviter(ctx, in.ID); err != nil {
		return nil, err
	}
	page, err := invitation.OfChannel(ctx, s.cfg.DB, in.ID, in.Params.Cursor, httpapi.Limit(in.Params.Limit))
	if err != nil {
		return nil, err
	}
	return api.ListChannelInvitations200JSONResponse(page), nil
}

// candidate is a user whom a member might add to a channel.
type candidate struct {
	ID      chat.UserID `bun:"id,type:uuid"`
	Member  bool        `bun:"member"`
	Banned  bool        `bun:"banned"`
	Invited bool        `bun:"invited"`
	InGroup bool        `bun:"in_group"` // whether the user is a member of the channel's group
}

// GetCandidates handles GET /v1/channels/{id}/candidates. It applies the same rules as adding a
// member.
func (s *Service) GetCandidates(ctx context.Context, in api.GetCandidatesRequestObject) (api.GetCandidatesResponseObject, error) {
	access, err := s.admitInviter(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	ids := strings.Split(in.Params.Ids, ",")
	var found []candidate
	err = s.cfg.DB.NewRaw(`select u.id,
			exists (select from channel_members m where m.channel_id = ? and m.user_id = u.id) as member,
			exists (select from channel_bans b where b.channel_id = ? and b.user_id = u.id) as banned,
			exists (select from invitations i where i.channel_id = ? and i.user_id = u.id and i.declined_at is null) as invited,
			exists (select from group_members g where g.group_id = ? and g.user_id = u.id) as in_group
		from users u where u.id in (?) and u.deleted_at is null`, in.ID, in.ID, in.ID, access.GroupID, bun.List(ids)).Scan(ctx, &found)
	if err != nil {
		return nil, fmt.Errorf("load candidates for channel %s: %w", in.ID, err)
	}
	known := map[chat.UserID]bool{}
	if s.cfg.AskStrangers && access.GroupID == nil {
		if known, err = invitation.Known(ctx, s.cfg.DB, httpapi.UserOf(ctx).UserID, ids); err != nil {
			return nil, err
		}
	}
	answer := api.GetCandidates200JSONResponse{Items: make([]api.Candidate, len(found))}
	for i, c := range found {
		asked := s.cfg.AskStrangers && !known[c.ID]
		answer.Items[i] = api.Candidate{UserID: c.ID, State: c.state(access.GroupID != nil, asked)}
	}
	return answer, nil
}

// state reports whether the user can be added to the channel or invited to it, and if not, why.
// grouped means that the channel belongs to a group. asked means that the user would be invited
// instead of added.
func (c *candidate) state(grouped, asked bool) api.CandidateState {
	switch {
	case c.Member:
		return api.CandidateStateMember
	case c.Banned:
		return api.CandidateStateBanned
	case grouped && !c.InGroup:
		return api.CandidateStateOutsideGroup
	case grouped || !asked: // adding an invited user ends the invitation
		return api.CandidateStateAddable
	case c.Invited:
		return api.CandidateStateInvited
	}
	return api.CandidateStateInvitable
}

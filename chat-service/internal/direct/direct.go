// Package direct opens direct channels between two users. A database function, which the gateways
// use as well, finds or creates the channel. It returns the same channel to both users, even if
// both request it at the same time.
package direct

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/channel"
	"parley.chat/chat-service/internal/httpapi"
)

// Service implements the endpoint for direct channels. It is safe for concurrent use.
type Service struct {
	db       *bun.DB
	channels *channel.Service
	poke     func()
}

// New returns a Service that uses db. poke wakes the outbox relay.
func New(db *bun.DB, channels *channel.Service, poke func()) *Service {
	return &Service{db, channels, poke}
}

// OpenDirectChannel handles POST /v1/dms.
func (s *Service) OpenDirectChannel(ctx context.Context, in api.OpenDirectChannelRequestObject) (api.OpenDirectChannelResponseObject, error) {
	user := httpapi.UserOf(ctx).UserID
	id, made, err := s.open(ctx, user, in.Body.UserID)
	if err != nil {
		return nil, err
	}
	c, err := s.channels.Get(ctx, id, user)
	if err != nil {
		return nil, err
	}
	if !made {
		return api.OpenDirectChannel200JSONResponse{ChannelAnswerJSONResponse: api.ChannelAnswerJSONResponse(c)}, nil
	}
	s.poke()
	return api.OpenDirectChannel201JSONResponse{ChannelMadeAnswerJSONResponse: channel.Made(c)}, nil
}

func (s *Service) open(ctx context.Context, from, to chat.UserID) (id chat.ChannelID, made bool, err error) {
	var r struct {
		ID   chat.ChannelID `bun:"channel_id,type:uuid"`
		Made bool           `bun:"created"`
	}
	err = s.db.NewRaw("select channel_id, created from open_direct_channel(?, ?)", from, to).Scan(ctx, &r)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case "PA400":
			return id, false, apierr.Invalid("user_id", apierr.Violates(apierr.FieldOtherUser, "must be another user"))
		case "PA403":
			return id, false, apierr.New(apierr.Forbidden, "You cannot send direct messages to this user.")
		case "PA404":
			return id, false, apierr.New(apierr.NotFound, "This user does not exist.")
		}
	}
	if err != nil {
		return id, false, fmt.Errorf("open direct channel: %w", err)
	}
	return r.ID, r.Made, nil
}

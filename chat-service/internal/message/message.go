// Package message sends messages over REST. Through package sender, it checks, limits and appends
// messages in the same way as the gateways.
package message

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/eventlog/mention"
	"parley.chat/internal/eventlog/sender"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/channel"
	"parley.chat/chat-service/internal/httpapi"
	"parley.chat/chat-service/internal/seen"
)

// Config configures a Service. Every field is required.
type Config struct {
	DB       *bun.DB
	Sender   *sender.Sender
	Seen     *seen.Heads
	MaxBytes int // maximum size of a message body

	// Find returns an error unless id is the id of a message in the channel. The error is NotFound
	// if there is no such message.
	Find func(ctx context.Context, channel chat.ChannelID, id chat.EventID) error
}

// Service implements the endpoint that sends messages. It is safe for concurrent use.
type Service struct {
	cfg      Config
	mentions *mention.Finder
	callAll  mention.MayCallAll
}

// New validates cfg and returns a Service.
func New(cfg Config) (*Service, error) {
	if cfg.DB == nil || cfg.Sender == nil || cfg.Seen == nil || cfg.Find == nil || cfg.MaxBytes <= 0 {
		return nil, errors.New("message: a required field of Config is missing")
	}
	return &Service{cfg, mention.NewFinder(cfg.DB), mention.AllByRole(cfg.DB)}, nil
}

// SendMessage handles POST /v1/channels/{id}/messages.
func (s *Service) SendMessage(ctx context.Context, in api.SendMessageRequestObject) (api.SendMessageResponseObject, error) {
	id, err := clientID(in.Params.IdempotencyKey, in.Body.ClientID)
	if err != nil {
		return nil, err
	}
	body := chat.NormalizeBody(in.Body.Body)
	if err := s.checkBody(body); err != nil {
		return nil, err
	}
	user := httpapi.UserOf(ctx)
	e := frame.Event{
		Type: event.Message, ChannelID: in.ID, ID: chat.NewEventID(), ClientID: &id,
		SenderID: user.UserID, SenderName: user.Username, Body: body, ReplyTo: in.Body.ReplyTo, SentAt: chat.Now(),
	}
	ack, err := s.send(ctx, user, e)
	if err != nil {
		return nil, err
	}
	answer := api.Ack{ChannelID: in.ID, ClientID: id, ID: ack.ID, Seq: ack.Seq, SentAt: ack.SentAt, Duplicate: ack.Duplicate}
	if ack.Duplicate {
		return api.SendMessage200JSONResponse{AckAnswerJSONResponse: api.AckAnswerJSONResponse(answer)}, nil
	}
	return api.SendMessage201JSONResponse(answer), nil
}

// clientID returns the idempotency key from the header or the body, or a new one if neither
// contains a key.
func clientID(header, body *chat.ClientID) (chat.ClientID, error) {
	field := "client_id"
	switch {
	case header != nil && body != nil && *header != *body:
		return chat.ClientID{}, apierr.Invalid("client_id", apierr.Violates(apierr.FieldIdempotencyKey, "must be equal to the Idempotency-Key header"))
	case header != nil:
		body, field = header, "Idempotency-Key"
	case body == nil:
		return chat.NewClientID(), nil
	}
	if body.IsZero() {
		return chat.ClientID{}, apierr.Invalid(field, apierr.Violates(apierr.FieldUUID, "must not be the zero UUID"))
	}
	return *body, nil
}

func (s *Service) checkBody(body string) error {
	if err := chat.CheckBody(body, s.cfg.MaxBytes); err != nil {
		return apierr.InvalidField(chat.BodyCode(err), "body", err)
	}
	return nil
}

// send appends e if its sender may send it. A retry of a message that was appended earlier gets the
// original acknowledgement, even if the sender has since left or been blocked.
func (s *Service) send(ctx context.Context, user token.Claims, e frame.Event) (appender.Ack, error) {
	refused := s.admit(ctx, user.UserID, e.ChannelID)
	if refused == nil && e.ReplyTo != nil {
		refused = s.checkReply(ctx, &e)
	}
	if refused == nil {
		var err error
		if e.Mentions, err = s.mentions.Find(ctx, e.ChannelID, e.Body); err == nil {
			e.Mentions, err = s.callAll.Only(ctx, e.ChannelID, e.SenderID, e.Mentions)
		}
		if err == nil {
			e.Mentions, err = s.unblocked(ctx, user.UserID, e.Mentions)
		}
		if err != nil {
			refused = fmt.Errorf("send message: %w", err)
		}
	}
	if refused != nil {
		ack, found, err := s.cfg.Sender.Recorded(ctx, &e)
		switch {
		case found:
			return ack, nil
		case apierr.CodeOf(err) == apierr.Conflict && apierr.CodeOf(refused) == apierr.Forbidden:
			return appender.Ack{}, err
		}
		return appender.Ack{}, refused
	}
	ack, left, err := s.cfg.Sender.Send(ctx, e)
	httpapi.ShowLimits(ctx, left)
	if err == nil {
		s.cfg.Seen.Note(e.ChannelID, ack)
	}
	return ack, err
}

// checkReply accepts a reply to any message in the same channel, including deleted messages, as the
// gateways do.
func (s *Service) checkReply(ctx context.Context, e *frame.Event) error {
	err := s.cfg.Find(ctx, e.ChannelID, *e.ReplyTo)
	if apierr.CodeOf(err) == apierr.NotFound {
		return apierr.InvalidField(apierr.InvalidBody, "reply_to", apierr.Violates(apierr.FieldMessage, "must be a message in this channel"))
	}
	return err
}

// unblocked returns the given users, except those who have blocked the sender or are blocked by the
// sender.
func (s *Service) unblocked(ctx context.Context, user chat.UserID, of []chat.UserID) ([]chat.UserID, error) {
	if len(of) == 0 {
		return of, nil
	}
	var blocks []struct {
		OtherID chat.UserID `bun:"other_id,type:uuid"`
	}
	if err := s.cfg.DB.NewRaw("select other_id from blocks_of(array[?]::uuid[])", user).Scan(ctx, &blocks); err != nil {
		return nil, fmt.Errorf("read blocks: %w", err)
	}
	for _, b := range blocks {
		of = slices.DeleteFunc(of, func(u chat.UserID) bool { return u == b.OtherID })
	}
	return of, nil
}

// arrivalTimeout limits the time that a send waits for the sender's member_joined event.
const arrivalTimeout = 5 * time.Second

// admitAnnounced waits until the channel's log contains the user's member_joined event, and then
// returns the user's access. Immediately after a join, this wait takes milliseconds. Otherwise,
// there is no wait.
func (s *Service) admitAnnounced(ctx context.Context, user chat.UserID, id chat.ChannelID) (channel.Access, error) {
	ctx, cancel := context.WithTimeout(ctx, arrivalTimeout)
	defer cancel()
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		access, err := channel.Admit(ctx, s.cfg.DB, id, user)
		if err != nil || !access.Arriving {
			return access, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return access, apierr.Wrap(ctx.Err(), apierr.Unavailable, "Your membership in this channel has not been announced yet. Retry with the same Idempotency-Key.")
		}
	}
}

// admit returns an error unless the user may send messages to the channel.
func (s *Service) admit(ctx context.Context, user chat.UserID, id chat.ChannelID) error {
	access, err := s.admitAnnounced(ctx, user, id)
	if err != nil {
		return err
	}
	if err := access.Allow(chat.Post); err != nil || access.Kind != chat.Direct {
		return err
	}
	var blocked bool
	if err := s.cfg.DB.NewRaw("select direct_blocked(?)", id).Scan(ctx, &blocked); err != nil {
		return fmt.Errorf("check for a block: %w", err)
	}
	if blocked {
		return apierr.New(apierr.Forbidden, "You cannot send direct messages to this user.")
	}
	return nil
}

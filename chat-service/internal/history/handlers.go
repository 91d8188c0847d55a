package history

import (
	"math"
	"net/http"

	"github.com/labstack/echo/v4"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"

	"parley.chat/chat-service/internal/channel"
	"parley.chat/chat-service/internal/httpapi"
)

func (s *Service) register() {
	s.cfg.API.Private(http.MethodGet, "/v1/channels/:id/messages", s.handleMessages)
}

// Message is a message as history shows it.
type Message struct {
	ID         chat.EventID   `json:"id"`
	ChannelID  chat.ChannelID `json:"channel_id"`
	Seq        int64          `json:"seq"`
	ClientID   *chat.ClientID `json:"client_id"`
	SenderID   chat.UserID    `json:"sender_id"`
	SenderName string         `json:"sender_name"`
	Body       string         `json:"body"`
	ReplyTo    *chat.EventID  `json:"reply_to"`
	Mentions   []chat.UserID  `json:"mentions"`
	SentAt     chat.Time      `json:"sent_at"`
	EditedAt   *chat.Time     `json:"edited_at"`
	DeletedAt  *chat.Time     `json:"deleted_at"`
	Reactions  []Reaction     `json:"reactions"`
}

// Reaction is one emoji on a message, and who chose it.
type Reaction struct {
	Emoji   string        `json:"emoji"`
	Count   int           `json:"count"`
	UserIDs []chat.UserID `json:"user_ids"`
}

func messageOf(e *frame.Event) Message {
	m := Message{
		ID: e.ID, ChannelID: e.ChannelID, Seq: e.Seq, ClientID: e.ClientID, SenderID: e.SenderID, SenderName: e.SenderName,
		Body: e.Body, ReplyTo: e.ReplyTo, Mentions: e.Mentions, SentAt: e.SentAt, Reactions: []Reaction{},
	}
	if m.Mentions == nil {
		m.Mentions = []chat.UserID{}
	}
	return m
}

// position is where a list goes on, in the direction in which it began.
type position struct {
	Before int64 `json:"b,omitempty"`
	After  int64 `json:"a,omitempty"`
}

// request is what of a channel's history is asked for.
type request struct {
	before, after, around *int64
	limit                 int
}

func (s *Service) handleMessages(c echo.Context) error {
	id, err := httpapi.ChannelID(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, err := channel.Admit(ctx, s.cfg.DB, id, httpapi.UserOf(c).UserID); err != nil {
		return err
	}
	in, err := readRequest(c)
	if err != nil {
		return err
	}
	events, next, err := s.answer(c, id, in)
	if err != nil {
		return err
	}
	page := httpapi.Page[Message]{Items: make([]Message, len(events))}
	for i := range events {
		page.Items[i] = messageOf(&events[i])
	}
	if next != nil {
		page.NextCursor = httpapi.Cursor(next)
	}
	return c.JSON(http.StatusOK, page)
}

func readRequest(c echo.Context) (in request, err error) {
	if in.limit, err = httpapi.Limit(c); err != nil {
		return in, err
	}
	var pos position
	given, err := httpapi.DecodeCursor(c, &pos)
	if err != nil {
		return in, err
	}
	said := 0
	for name, into := range map[string]**int64{"before_seq": &in.before, "after_seq": &in.after, "around": &in.around} {
		if *into, err = httpapi.Number(c, name); err != nil {
			return in, err
		}
		if *into != nil {
			said++
		}
	}
	switch {
	case given && (said > 0 || (pos.Before > 0) == (pos.After > 0)):
		return in, apierr.Invalid("cursor", "is not one that we have given out, or comes with before_seq, after_seq or around")
	case pos.Before > 0:
		in.before = &pos.Before
	case pos.After > 0:
		in.after = &pos.After
	case said > 1:
		return in, apierr.Invalid("before_seq", "cannot be combined with after_seq or around: give one of the three")
	}
	return in, nil
}

// answer reads the page that is asked for, and where the next one begins, if there is one: further into
// the past unless after_seq asked for what came since.
func (s *Service) answer(c echo.Context, id chat.ChannelID, in request) ([]frame.Event, *position, error) {
	ctx := c.Request().Context()
	switch {
	case in.after != nil:
		events, more, err := s.page(ctx, id, span{after: *in.after, before: math.MaxInt64, oldest: true}, in.limit)
		if err != nil || !more {
			return events, nil, err
		}
		return events, &position{After: events[len(events)-1].Seq}, nil
	case in.around != nil:
		// The seq itself is the newest of the older half.
		pivot := min(*in.around, math.MaxInt64-1)
		older, more, err := s.page(ctx, id, span{before: pivot + 1}, (in.limit+1)/2)
		if err != nil {
			return nil, nil, err
		}
		newer := []frame.Event{}
		if n := in.limit - len(older); n > 0 {
			if newer, _, err = s.page(ctx, id, span{after: pivot, before: math.MaxInt64, oldest: true}, n); err != nil {
				return nil, nil, err
			}
		}
		return append(older, newer...), pastOf(older, more), nil
	}
	sp := span{before: math.MaxInt64}
	if in.before != nil {
		sp.before = *in.before
	}
	events, more, err := s.page(ctx, id, sp, in.limit)
	return events, pastOf(events, more), err
}

func pastOf(events []frame.Event, more bool) *position {
	if !more || len(events) == 0 {
		return nil
	}
	return &position{Before: events[0].Seq}
}

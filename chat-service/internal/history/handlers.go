package history

import (
	"context"
	"math"

	"parley.chat/shared-contracts/apierr"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/channel"
	"parley.chat/chat-service/internal/httpapi"
)

// Names of the list operations. A cursor is valid only for the operation that issued it.
const (
	listMessages = "listMessages"
	listEvents   = "listEvents"
)

// position is the start of the next page, and the point of a list that does not show the current
// state. Either Before or After is set, depending on the direction of the list.
type position struct {
	Before int64  `json:"b,omitempty"`
	After  int64  `json:"a,omitempty"`
	Point  *int64 `json:"p,omitempty"`
}

// request describes the requested part of a channel's history.
type request struct {
	before, after, around *int64
	point                 point
	limit                 int
}

// ListMessages handles GET /v1/channels/{id}/messages.
func (s *Service) ListMessages(ctx context.Context, in api.ListMessagesRequestObject) (api.ListMessagesResponseObject, error) {
	r := reader{in.ID, httpapi.UserOf(ctx).UserID, now}
	asked, err := requestOf(&in.Params)
	if err != nil {
		if _, refused := channel.Admit(ctx, s.cfg.DB, r.channel, r.user); refused != nil {
			err = refused // an access error takes precedence over an error in the request
		}
		return nil, err
	}
	if r.upTo, err = s.resolve(ctx, r, asked.point); err != nil {
		return nil, err
	}
	messages, next, err := s.answer(ctx, r, asked)
	if err != nil {
		return nil, err
	}
	page := api.ListMessages200JSONResponse{Items: messages}
	if r.upTo != now {
		page.AsOfSeq = &r.upTo
	}
	if next != nil {
		next.Point = page.AsOfSeq
		page.NextCursor = httpapi.Cursor(listMessages, next)
	}
	return page, nil
}

// ListEvents handles GET /v1/channels/{id}/events.
func (s *Service) ListEvents(ctx context.Context, in api.ListEventsRequestObject) (api.ListEventsResponseObject, error) {
	mark, err := channel.AdmitReader(ctx, s.cfg.DB, s.cfg.Log, in.ID, httpapi.UserOf(ctx).UserID)
	if err != nil {
		return nil, err
	}
	var pos position
	given, err := httpapi.DecodeCursor(listEvents, in.Params.Cursor, &pos)
	switch {
	case err != nil:
		return nil, err
	case given && (pos.After <= 0 || pos.Before != 0):
		return nil, httpapi.ErrCursor()
	case !given && in.Params.AfterSeq != nil:
		pos.After = *in.Params.AfterSeq
	}
	events, more, err := s.log(ctx, markedChannel{in.ID, mark}, httpapi.UserOf(ctx).UserID, pos.After, httpapi.Limit(in.Params.Limit))
	if err != nil {
		return nil, err
	}
	var page api.ListEvents200JSONResponse
	if page.Items, err = framesOf(events); err != nil {
		return nil, err
	}
	if more {
		page.NextCursor = httpapi.Cursor(listEvents, position{After: events[len(events)-1].Seq})
	}
	return page, nil
}

func requestOf(p *api.ListMessagesParams) (request, error) {
	in := request{before: p.BeforeSeq, after: p.AfterSeq, around: p.Around, limit: httpapi.Limit(p.Limit)}
	var err error
	if in.point, err = pointOf(p); err != nil {
		return in, err
	}
	var pos position
	given, err := httpapi.DecodeCursor(listMessages, p.Cursor, &pos)
	if err != nil {
		return in, err
	}
	directions := 0
	for _, seq := range []*int64{in.before, in.after, in.around} {
		if seq != nil {
			directions++
		}
	}
	switch {
	case directions > 1:
		return in, apierr.Invalid("before_seq", apierr.Violates(apierr.FieldCombination, "cannot be combined with after_seq or around"))
	case !given:
		return in, nil
	case (pos.Before > 0) == (pos.After > 0) || pos.Before < 0 || pos.After < 0 || pos.Point != nil && *pos.Point <= 0:
		return in, httpapi.ErrCursor()
	case directions > 0 && (in.after != nil) != (pos.After > 0):
		return in, apierr.Invalid("cursor", apierr.Violates(apierr.FieldCursor, "belongs to a list in the other direction; repeat the parameter that began the list, or leave it out"))
	}
	// A request with a cursor may repeat the parameter that set the start of the list, but the
	// cursor determines the position.
	in = request{limit: in.limit, point: in.point}
	if err := in.point.fixed(pos.Point); err != nil {
		return in, err
	}
	if pos.After > 0 {
		in.after = &pos.After
	} else {
		in.before = &pos.Before
	}
	return in, nil
}

// answer returns the requested page and the position of the next page, if there is one. The next
// page contains older messages, unless the request has after_seq.
func (s *Service) answer(ctx context.Context, r reader, in request) ([]api.Message, *position, error) {
	switch {
	case in.after != nil:
		events, more, err := s.page(ctx, r, span{after: *in.after, before: math.MaxInt64, oldest: true}, in.limit)
		if err != nil || !more {
			return events, nil, err
		}
		return events, &position{After: events[len(events)-1].Seq}, nil
	case in.around != nil:
		// The message with the requested seq belongs to the older half of the page.
		pivot := min(*in.around, math.MaxInt64-1)
		older, more, err := s.page(ctx, r, span{before: pivot + 1}, in.limit)
		if err != nil {
			return nil, nil, err
		}
		newer := []api.Message{}
		if n := in.limit - min(len(older), (in.limit+1)/2); n > 0 {
			if newer, _, err = s.page(ctx, r, span{after: pivot, before: math.MaxInt64, oldest: true}, n); err != nil {
				return nil, nil, err
			}
		}
		// Near either end of the channel, one half of the page is short. The other half fills the
		// rest.
		if over := len(older) + len(newer) - in.limit; over > 0 {
			older, more = older[over:], true
		}
		return append(older, newer...), olderPage(older, more), nil
	}
	sp := span{before: math.MaxInt64}
	if in.before != nil {
		sp.before = *in.before
	}
	events, more, err := s.page(ctx, r, sp, in.limit)
	return events, olderPage(events, more), err
}

func olderPage(events []api.Message, more bool) *position {
	if !more || len(events) == 0 {
		return nil
	}
	return &position{Before: events[0].Seq}
}

package history

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog/eventrow"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/channel"
	"parley.chat/chat-service/internal/httpapi"
)

const listChanges = "listChanges"

// maxScanned limits the number of events that one page of changes reads. The API document states
// the same number.
const maxScanned = 500

// comparison is a comparison of a channel at two points, and a position in its list of changes: the
// events up to and including After have been read.
type comparison struct {
	From  int64 `json:"f"`
	To    int64 `json:"t"`
	After int64 `json:"a"`
}

// contains reports whether an event was sent between the two points.
func (c comparison) contains(seq int64) bool { return seq > c.From && seq <= c.To }

// ListChanges handles GET /v1/channels/{id}/changes.
func (s *Service) ListChanges(ctx context.Context, in api.ListChangesRequestObject) (api.ListChangesResponseObject, error) {
	r := reader{in.ID, httpapi.UserOf(ctx).UserID, in.Params.ToSeq}
	mark, err := channel.AdmitReader(ctx, s.cfg.DB, s.cfg.Log, r.channel, r.user)
	if err != nil {
		return nil, err
	}
	asked, err := comparisonOf(&in.Params)
	if err != nil {
		return nil, err
	}
	changes, next, err := s.changes(ctx, r, mark, asked, httpapi.Limit(in.Params.Limit))
	if err != nil {
		return nil, err
	}
	page := api.ListChanges200JSONResponse{Items: changes}
	if next != nil {
		page.NextCursor = httpapi.Cursor(listChanges, next)
	}
	return page, nil
}

func comparisonOf(p *api.ListChangesParams) (comparison, error) {
	asked := comparison{From: p.FromSeq, To: p.ToSeq, After: p.FromSeq}
	if asked.From > asked.To {
		return asked, apierr.Invalid("to_seq", apierr.Violates(apierr.FieldCombination, "must not be less than from_seq"))
	}
	var pos comparison
	given, err := httpapi.DecodeCursor(listChanges, p.Cursor, &pos)
	switch {
	case err != nil || !given:
		return asked, err
	case pos.From < 0 || pos.After <= pos.From || pos.After >= pos.To:
		return asked, httpapi.ErrCursor()
	case pos.From != asked.From || pos.To != asked.To:
		return asked, apierr.Invalid("cursor", apierr.Violates(apierr.FieldCursor, "belongs to a comparison of other points; repeat from_seq and to_seq"))
	}
	return pos, nil
}

// changes returns a page of the changes between two points, and the position of the next page, if
// there is one. A message is on the page that contains the first event between the points that
// concerns it.
func (s *Service) changes(ctx context.Context, r reader, mark unstored.Mark, c comparison, limit int) ([]api.MessageChange, *comparison, error) {
	// Earlier events of these messages may be anywhere in the unstored part of the tail.
	items, err := unstored.Above(ctx, s.cfg.Log, r.channel, mark, func([]event.Item) bool { return false })
	if err != nil {
		return nil, nil, err
	}
	events, more, err := s.union(ctx, r.channel, span{after: c.After, before: c.To + 1, oldest: true}, items, maxScanned)
	if err != nil {
		return nil, nil, err
	}
	messages, err := s.changedMessages(ctx, r.channel, c, events, items)
	if err != nil {
		return nil, nil, err
	}
	var next *comparison
	switch {
	case len(messages) > limit:
		next = &comparison{c.From, c.To, messages[limit].first - 1}
		messages = messages[:limit]
	case more && events[len(events)-1].Seq < c.To:
		next = &comparison{c.From, c.To, events[len(events)-1].Seq}
	}
	list, err := s.compare(ctx, r, c, messages, items)
	return list, next, err
}

// changedMessage is a message, with the seq of the first event between two points that concerns it.
type changedMessage struct {
	message frame.Event
	first   int64
}

// changedMessages returns the messages whose first event between the two points is one of the given
// events, in the order of these events.
func (s *Service) changedMessages(ctx context.Context, channel chat.ChannelID, c comparison, events []frame.Event, items []event.Item) ([]changedMessage, error) {
	first := map[chat.EventID]int64{}
	for i := range events {
		if id, ok := concerns(&events[i]); ok && first[id] == 0 {
			first[id] = events[i].Seq
		}
	}
	if len(first) == 0 {
		return nil, nil
	}
	ids := slices.Collect(maps.Keys(first))
	messages, err := s.messagesOf(ctx, channel, ids, items)
	if err != nil {
		return nil, err
	}
	before, err := s.changedBetween(ctx, channel, ids, c.From, c.After, items)
	if err != nil {
		return nil, err
	}
	var list []changedMessage
	for _, m := range messages {
		if earlier := before[m.ID] || m.Seq > c.From && m.Seq <= c.After; !earlier {
			list = append(list, changedMessage{m, first[m.ID]})
		}
	}
	slices.SortFunc(list, func(x, y changedMessage) int { return cmp.Compare(x.first, y.first) })
	return list, nil
}

// concerns returns the message that an event is or changes.
func concerns(e *frame.Event) (chat.EventID, bool) {
	switch {
	case e.Type == event.Message:
		return e.ID, true
	case changesMessages(e.Type) && e.MessageID != nil:
		return *e.MessageID, true
	}
	return chat.EventID{}, false
}

// messagesOf returns the messages with the given ids. Ids without a message are missing from the
// result.
func (s *Service) messagesOf(ctx context.Context, channel chat.ChannelID, ids []chat.EventID, items []event.Item) ([]frame.Event, error) {
	fresh, err := eventsOf(items, span{before: now, kind: event.Message})
	if err != nil {
		return nil, fmt.Errorf("read tail of channel %s: %w", channel, err)
	}
	fresh = slices.DeleteFunc(fresh, func(e frame.Event) bool { return !slices.Contains(ids, e.ID) })
	var rows []eventrow.Row
	err = s.cfg.DB.NewSelect().Model(&rows).Where("channel_id = ? and id in (?) and kind = 'message'", channel, bun.List(ids)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %d messages of channel %s: %w", len(ids), channel, err)
	}
	stored, err := decoded(rows)
	return merge(stored, fresh), err
}

// changedBetween returns which of the messages were changed after one seq, up to and including
// another.
func (s *Service) changedBetween(ctx context.Context, channel chat.ChannelID, ids []chat.EventID, after, upTo int64, items []event.Item) (map[chat.EventID]bool, error) {
	changed := map[chat.EventID]bool{}
	if after == upTo {
		return changed, nil
	}
	fresh, err := eventsOf(items, span{after: after, before: upTo + 1})
	if err != nil {
		return nil, fmt.Errorf("read tail of channel %s: %w", channel, err)
	}
	for i := range fresh {
		if id, ok := concerns(&fresh[i]); ok {
			changed[id] = true
		}
	}
	var rows []struct {
		ID chat.EventID `bun:"id,type:uuid"`
	}
	if err := s.selectChanged(channel, ids, after, upTo).Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("read changes of %d messages of channel %s: %w", len(ids), channel, err)
	}
	for _, r := range rows {
		changed[r.ID] = true
	}
	return changed, nil
}

func (s *Service) selectChanged(channel chat.ChannelID, ids []chat.EventID, after, upTo int64) *bun.RawQuery {
	return s.cfg.DB.NewRaw(`select id from unnest(array[?]::uuid[]) as m (id) where exists (select from messages
		where channel_id = ? and target = m.id and kind in ('edit', 'delete', 'reaction') and seq > ? and seq <= ?)`,
		bun.List(ids), channel, after, upTo)
}

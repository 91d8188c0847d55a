package history

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog/replay"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"

	"parley.chat/chat-service/internal/api"
)

// log returns up to limit events after a seq, and reports whether there are more. The events are in
// the form that subscribers receive, with two exceptions. The bodies of deleted messages are empty,
// and so are the bodies of message versions that were replaced before the user joined.
func (s *Service) log(ctx context.Context, at markedChannel, user chat.UserID, after int64, limit int) ([]frame.Event, bool, error) {
	sp := span{after: after, before: math.MaxInt64, oldest: true}
	events, items, more, err := s.read(ctx, at, sp, limit)
	if err != nil {
		return nil, false, err
	}
	deleted := replay.Deleted{}
	var losses []replay.Loss
	for _, it := range items {
		if it.Kind != event.Delete && it.Kind != event.Gap {
			continue
		}
		e, err := frame.DecodeEvent(it.Frame)
		if err != nil {
			return nil, false, fmt.Errorf("read tail of channel %s: %w", at.channel, err)
		}
		deleted.Add(&e)
		if l, ok := replay.LossOf(&e); ok {
			losses = append(losses, l)
		}
	}
	if err := s.addStoredDeletions(ctx, at.channel, events, items, deleted); err != nil {
		return nil, false, err
	}
	for i := range events {
		deleted.RemoveText(&events[i])
	}
	if err := s.removeDeletedNames(ctx, events); err != nil {
		return nil, false, err
	}
	if err := s.hideOldVersions(ctx, at.channel, user, events, items); err != nil {
		return nil, false, err
	}
	events = fillLosses(events, after, losses)
	if len(events) > limit {
		events, more = events[:limit], true
	}
	return events, more, nil
}

// addStoredDeletions adds to deleted every message whose deletion is stored but whose text is still
// in the tail. The text may be in the message itself or in an edit. Rows do not need this check,
// because a deletion removes the text from them.
func (s *Service) addStoredDeletions(ctx context.Context, channel chat.ChannelID, events []frame.Event, items []event.Item, deleted replay.Deleted) error {
	if len(items) == 0 {
		return nil
	}
	var ids []chat.EventID
	for i := range events {
		if id, ok := events[i].TextOf(); ok && events[i].Seq >= items[0].Seq {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var rows []struct {
		ID chat.EventID `bun:"message_id,type:uuid"`
	}
	err := s.cfg.DB.NewRaw("select message_id from message_states where channel_id = ? and message_id in (?) and delete_seq is not null",
		channel, bun.List(ids)).Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("read deletions of channel %s: %w", channel, err)
	}
	for _, r := range rows {
		deleted[r.ID] = struct{}{}
	}
	return nil
}

// removeDeletedNames removes the names of users with deleted accounts from events.
func (s *Service) removeDeletedNames(ctx context.Context, events []frame.Event) error {
	named := map[chat.UserID]bool{}
	for i := range events {
		if id, ok := events[i].NamedUser(); ok {
			named[id] = true
		}
	}
	if len(named) == 0 {
		return nil
	}
	var erased []struct {
		ID chat.UserID `bun:"user_id,type:uuid"`
	}
	err := s.cfg.DB.NewRaw("select user_id from erasures where user_id in (?)", bun.List(slices.Collect(maps.Keys(named)))).Scan(ctx, &erased)
	if err != nil {
		return fmt.Errorf("check which of %d accounts are deleted: %w", len(named), err)
	}
	for _, u := range erased {
		for i := range events {
			if id, ok := events[i].NamedUser(); ok && id == u.ID {
				events[i].RemoveName()
			}
		}
	}
	return nil
}

// fillLosses inserts a tombstone for each lost event, so that the result has no gaps. losses comes
// from the gap events in the tail, for which sync-service has not stored tombstones yet.
func fillLosses(events []frame.Event, after int64, losses []replay.Loss) []frame.Event {
	if len(losses) == 0 || len(events) == 0 {
		return events
	}
	whole := make([]frame.Event, 0, len(events))
	next := after + 1
	for _, e := range events {
		for ; next < e.Seq; next++ {
			if i := slices.IndexFunc(losses, func(l replay.Loss) bool { return l.Has(next) }); i >= 0 {
				whole = append(whole, losses[i].Tombstone(e.ChannelID, next))
			}
		}
		whole = append(whole, e)
		next = e.Seq + 1
	}
	return whole
}

// framesOf encodes events.
func framesOf(events []frame.Event) ([]api.Event, error) {
	frames := make([]api.Event, len(events))
	for i := range events {
		b, err := events[i].Encode()
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", events[i].Seq, err)
		}
		frames[i] = json.RawMessage(b)
	}
	return frames, nil
}

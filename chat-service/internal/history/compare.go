package history

import (
	"context"
	"fmt"
	"slices"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"

	"parley.chat/chat-service/internal/api"
)

// compare returns the differences between the messages at the two points. It omits messages without
// differences.
func (s *Service) compare(ctx context.Context, r reader, c comparison, messages []changedMessage, items []event.Item) ([]api.MessageChange, error) {
	list := []api.MessageChange{}
	if len(messages) == 0 {
		return list, nil
	}
	events := make([]frame.Event, len(messages))
	for i := range messages {
		events[i] = messages[i].message
	}
	earlier, err := s.foldAt(ctx, r.channel, slices.Clone(events), items, c.From)
	if err != nil {
		return nil, err
	}
	later, err := s.foldAt(ctx, r.channel, events, items, c.To)
	if err != nil {
		return nil, err
	}
	if err := s.hideReplaced(ctx, r, later, items); err != nil {
		return nil, err
	}
	for _, m := range later.messages(r.user) {
		if change := changeOf(m, earlier.states[m.ID], later.states[m.ID], c, r.user); !same(&change) {
			list = append(list, change)
		}
	}
	return list, nil
}

// foldAt computes the state of messages at a point. items are all unstored items.
func (s *Service) foldAt(ctx context.Context, channel chat.ChannelID, messages []frame.Event, items []event.Item, upTo int64) (*folding, error) {
	f := newFolding(messages, upTo)
	if err := f.addItems(items); err != nil {
		return nil, fmt.Errorf("read tail of channel %s: %w", channel, err)
	}
	if err := s.addChanges(ctx, channel, f); err != nil {
		return nil, err
	}
	return f, s.addEarlier(ctx, channel, f)
}

// changeOf returns the difference between two states of a message. m is the message in the later
// state. A deleted message has neither edits nor reactions in either state.
func changeOf(m api.Message, earlier, later *messageState, c comparison, reader chat.UserID) api.MessageChange {
	change := api.MessageChange{
		Message: m, Created: c.contains(m.Seq), Deleted: c.contains(later.deleteSeq),
		ReactionsAdded: []api.Reaction{}, ReactionsRemoved: []api.Reaction{},
	}
	if later.deleteSeq == 0 {
		change.Edited = c.contains(later.editSeq)
		change.ReactionsAdded = append(change.ReactionsAdded, later.without(earlier).reactionSummary(reader)...)
		change.ReactionsRemoved = append(change.ReactionsRemoved, earlier.without(later).reactionSummary(reader)...)
	}
	return change
}

// same reports whether a change contains no difference.
func same(c *api.MessageChange) bool {
	return !c.Created && !c.Edited && !c.Deleted && len(c.ReactionsAdded) == 0 && len(c.ReactionsRemoved) == 0
}

// without returns a state with the active reactions in t that are not active in other.
func (t *messageState) without(other *messageState) *messageState {
	rest := messageState{reactions: map[reaction]vote{}}
	for _, r := range t.activeReactions() {
		if s, ok := other.reactions[r]; !ok || s.removed {
			rest.reactions[r] = t.reactions[r]
		}
	}
	return &rest
}

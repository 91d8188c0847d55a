package history

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog/unstored"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/text"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/channel"
	"parley.chat/chat-service/internal/httpapi"
	"parley.chat/chat-service/internal/outbox"
)

// maxRemoved limits the number of reactions that one request removes, because each removal is an
// event for every member.
const maxRemoved = 100

// RemoveReactions handles DELETE /v1/channels/{id}/messages/{message_id}/reactions.
func (s *Service) RemoveReactions(ctx context.Context, in api.RemoveReactionsRequestObject) (api.RemoveReactionsResponseObject, error) {
	by := httpapi.UserOf(ctx).UserID
	access, err := channel.Admit(ctx, s.cfg.DB, in.ID, by)
	if err == nil {
		err = access.Allow(chat.Moderate)
	}
	if err != nil {
		return nil, err
	}
	var of chat.UserID // zero: any user
	if in.Params.UserID != nil {
		if of, err = chat.ParseUserID(*in.Params.UserID); err != nil {
			return nil, apierr.Invalid("user_id", apierr.Violates(apierr.FieldUUID, "must be a UUID"))
		}
	}
	active, err := s.reactionsTo(ctx, in.ID, in.MessageID)
	if err != nil {
		return nil, err
	}
	rows := []outbox.Row{}
	for _, r := range active {
		if in.Params.UserID != nil && r.user != of || in.Params.Emoji != nil && r.emoji != normalizeEmoji(*in.Params.Emoji) {
			continue
		}
		rows = append(rows, outbox.Unreact(in.ID, by, r.user, outbox.Reaction{MessageID: in.MessageID, Emoji: r.emoji}))
	}
	removed := rows[:min(len(rows), maxRemoved)]
	err = s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return outbox.Add(ctx, tx, removed...) })
	if err != nil {
		return nil, fmt.Errorf("remove reactions to message %s: %w", in.MessageID, err)
	}
	s.cfg.Poke()
	return api.RemoveReactions200JSONResponse{Removed: len(removed), More: len(rows) > len(removed)}, nil
}

// normalizeEmoji returns the normalized form of an emoji. Reactions are compared in this form.
func normalizeEmoji(emoji string) string {
	if form, ok := text.Emoji(emoji); ok {
		return form
	}
	return emoji
}

// reactionsTo returns the active reactions to a message, oldest first. It reads the tail before the
// rows, because items are removed from the tail only after they are stored.
func (s *Service) reactionsTo(ctx context.Context, channel chat.ChannelID, id chat.EventID) ([]reaction, error) {
	mark, err := unstored.MarkOf(ctx, s.cfg.DB, s.cfg.Log.Partition(channel.UUID))
	if err != nil {
		return nil, err
	}
	items, err := unstored.Above(ctx, s.cfg.Log, channel, mark, func([]event.Item) bool { return false })
	if err != nil {
		return nil, err
	}
	exists, err := s.hasMessage(ctx, channel, id, items)
	if err != nil {
		return nil, err
	}
	if !exists {
		return nil, apierr.New(apierr.NotFound, "This message does not exist in this channel.")
	}
	f := newFolding([]frame.Event{{ID: id}}, now)
	if err := f.addItems(items); err != nil {
		return nil, fmt.Errorf("read tail of channel %s: %w", channel, err)
	}
	if err := s.addChanges(ctx, channel, f); err != nil {
		return nil, err
	}
	return f.states[id].activeReactions(), nil
}

func (s *Service) hasMessage(ctx context.Context, channel chat.ChannelID, id chat.EventID, items []event.Item) (exists bool, err error) {
	for _, it := range items {
		if it.Kind != event.Message {
			continue
		}
		if e, err := frame.DecodeEvent(it.Frame); err == nil && e.ID == id {
			return true, nil
		}
	}
	err = s.cfg.DB.NewRaw("select exists (select from messages where channel_id = ? and id = ? and kind = ?)", channel, id, event.Message).Scan(ctx, &exists)
	if err != nil {
		return false, fmt.Errorf("find message %s: %w", id, err)
	}
	return exists, nil
}

// activeReactions returns the reactions that have not been removed, oldest first. A deleted message
// has none.
func (t *messageState) activeReactions() []reaction {
	var list []reaction
	for r, s := range t.reactions {
		if !s.removed && t.deleteSeq == 0 {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b reaction) int { return cmp.Compare(t.reactions[a].seq, t.reactions[b].seq) })
	return list
}

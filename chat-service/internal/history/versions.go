package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"

	"parley.chat/chat-service/internal/channel"
)

// hideOldVersions removes the text of messages and edits that a later edit had already replaced
// when the user joined the channel. Earlier members may have seen these versions. Their sender and
// the moderators of the channel may always read them.
func (s *Service) hideOldVersions(ctx context.Context, in chat.ChannelID, user chat.UserID, events []frame.Event, items []event.Item) error {
	var me struct {
		JoinedSeq int64     `bun:"joined_seq"`
		Role      chat.Role `bun:"role"`
	}
	err := s.selectMembership(in, user).Scan(ctx, &me)
	if errors.Is(err, sql.ErrNoRows) { // the user has just left
		return s.refusal(ctx, in, user)
	}
	if err != nil {
		return fmt.Errorf("read membership of channel %s: %w", in, err)
	}
	if me.Role.May(chat.Moderate) {
		return nil
	}
	var messages []chat.EventID
	for i := range events {
		if id, ok := events[i].TextOf(); ok && events[i].Seq < me.JoinedSeq && events[i].SenderID != user {
			messages = append(messages, id)
		}
	}
	if len(messages) == 0 {
		return nil
	}
	newest, err := s.newestEdits(ctx, in, messages, me.JoinedSeq, items)
	if err != nil {
		return err
	}
	for i := range events {
		e := &events[i]
		if id, ok := e.TextOf(); ok && e.SenderID != user && e.Seq < newest[id] {
			e.RemoveText()
		}
	}
	return nil
}

// refusal returns the reason why a user who was a member a moment ago may not read a channel.
func (s *Service) refusal(ctx context.Context, in chat.ChannelID, user chat.UserID) error {
	if _, err := channel.Admit(ctx, s.cfg.DB, in, user); err != nil {
		return err
	}
	return errMembershipChanging() // the user has joined again
}

// hideReplaced removes the text of those messages in f whose version at the reader's point had been
// replaced when the reader joined; see hideOldVersions. The current version was never replaced.
func (s *Service) hideReplaced(ctx context.Context, r reader, f *folding, items []event.Item) error {
	if r.upTo == now || len(f.events) == 0 {
		return nil
	}
	versions := make([]frame.Event, len(f.events))
	for i := range f.events {
		versions[i] = f.version(&f.events[i])
	}
	if err := s.hideOldVersions(ctx, r.channel, r.user, versions, items); err != nil {
		return err
	}
	for i := range versions {
		if versions[i].Body == "" {
			f.removeText(&f.events[i])
		}
	}
	return nil
}

// newestEdits returns, for each message, the seq of its newest edit at or below upTo. Messages that
// have no edit at or below upTo are missing from the result.
func (s *Service) newestEdits(ctx context.Context, channel chat.ChannelID, messages []chat.EventID, upTo int64, items []event.Item) (map[chat.EventID]int64, error) {
	var rows []struct {
		Target chat.EventID `bun:"target,type:uuid"`
		Seq    int64        `bun:"seq"`
	}
	if err := s.selectNewestEdits(channel, messages, upTo).Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("read edits of channel %s: %w", channel, err)
	}
	newest := make(map[chat.EventID]int64, len(rows))
	for _, r := range rows {
		newest[r.Target] = r.Seq
	}
	for _, it := range items {
		if it.Kind != event.Edit || it.Seq > upTo {
			continue
		}
		e, err := frame.DecodeEvent(it.Frame)
		if err != nil {
			return nil, fmt.Errorf("read tail of channel %s: %w", channel, err)
		}
		if e.MessageID != nil {
			newest[*e.MessageID] = max(newest[*e.MessageID], e.Seq)
		}
	}
	return newest, nil
}

func (s *Service) selectNewestEdits(channel chat.ChannelID, messages []chat.EventID, upTo int64) *bun.RawQuery {
	return s.cfg.DB.NewRaw(`select target, max(seq) as seq from messages
		where channel_id = ? and kind = 'edit' and target in (?) and seq <= ? group by target`, channel, bun.List(messages), upTo)
}

func (s *Service) selectMembership(channel chat.ChannelID, user chat.UserID) *bun.RawQuery {
	return s.cfg.DB.NewRaw("select joined_seq, role from channel_members where channel_id = ? and user_id = ?", channel, user)
}

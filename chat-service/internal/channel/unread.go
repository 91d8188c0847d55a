package channel

import (
	"context"

	"parley.chat/internal/eventlog/unread"
	"parley.chat/shared-contracts/chat"
)

// unread counts the unread messages and mentions in each channel that the user is a member of.
func (s *Service) unread(ctx context.Context, user chat.UserID, rows []listed) error {
	questions := make([]unread.Question, len(rows)) // one per channel; zero if the user is not a member
	for i, r := range rows {
		if r.Role != "" {
			questions[i] = unread.Question{Channel: r.ID, User: user, After: max(r.JoinedSeq, r.LastReadSeq), UpTo: r.lastSeq}
		}
	}
	counts, err := s.counter.Count(ctx, questions)
	if err != nil {
		return err
	}
	for i, n := range counts {
		rows[i].unread, rows[i].mentions = n.Messages, n.Mentions
	}
	return nil
}

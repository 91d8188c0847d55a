package channel

import (
	"context"

	"parley.chat/internal/unread"
	"parley.chat/shared-contracts/chat"
)

// unread counts, in each channel that the user is a member of, what they have not read.
func (s *Service) unread(ctx context.Context, user chat.UserID, rows []listed) error {
	questions := make([]unread.Question, len(rows)) // of a channel that is not theirs: about nothing
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

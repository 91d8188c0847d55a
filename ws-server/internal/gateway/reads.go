package gateway

import (
	"context"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/eventlog/unread"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/coalesce"
	"parley.chat/ws-server/internal/revoked"
	"parley.chat/ws-server/internal/store"
)

// sharedReads performs the reads that a connection needs when it is admitted. It coalesces the
// concurrent reads of several connections into one query.
type sharedReads struct {
	revoked     *coalesce.Group[revoked.Login, bool] // whether a session has ended
	memberships *coalesce.Group[chat.UserID, []store.Membership]
	heads       *coalesce.Group[chat.ChannelID, eventlog.Head]
	cursors     *coalesce.Group[chat.MemberKey, receiptlog.Receipt]
	unread      *coalesce.Group[unread.Question, unread.Count]
}

func newSharedReads(ctx context.Context, cfg *Config) sharedReads {
	return sharedReads{
		revoked: coalesce.New(func(ctx context.Context, logins []revoked.Login) ([]bool, error) {
			marked, err := cfg.Revoked.Revoked(ctx, logins)
			if err != nil {
				return nil, err
			}
			ended := make(map[revoked.Login]bool, len(marked))
			for _, l := range marked {
				ended[l] = true
			}
			answers := make([]bool, len(logins))
			for i, l := range logins {
				answers[i] = ended[l]
			}
			return answers, nil
		}, coalesce.Config{Context: ctx}),
		memberships: coalesce.New(cfg.Store.Memberships, coalesce.Config{Context: ctx, MaxBatch: maxUsersPerMembershipRead}),
		heads:       coalesce.New(cfg.Log.Heads, coalesce.Config{Context: ctx}),
		cursors:     coalesce.New(cfg.Receipts.At, coalesce.Config{Context: ctx}),
		unread:      coalesce.New(cfg.Unread.Count, coalesce.Config{Context: ctx, MaxBatch: maxQuestionsPerUnreadRead}),
	}
}

// maxUsersPerMembershipRead limits the number of users per query, because each user may have
// hundreds of channels.
const maxUsersPerMembershipRead = 100

// maxQuestionsPerUnreadRead limits the number of unread counts per batch. Counts for the same
// channel share one read of its tail, so larger batches need fewer reads.
const maxQuestionsPerUnreadRead = 2000

func (r *sharedReads) wait() {
	r.revoked.Wait()
	r.memberships.Wait()
	r.heads.Wait()
	r.cursors.Wait()
	r.unread.Wait()
}

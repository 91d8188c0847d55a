package gateway

import (
	"context"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/unread"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/gather"
	"parley.chat/ws-server/internal/revoked"
	"parley.chat/ws-server/internal/store"
)

// reads are what each connection needs to be admitted, and to write. Those who ask at the same time share
// them.
type reads struct {
	marks       *gather.Group[revoked.Login, bool] // whether the session was ended
	memberships *gather.Group[chat.UserID, []store.Membership]
	heads       *gather.Group[chat.ChannelID, eventlog.Head]
	cursors     *gather.Group[eventlog.Member, eventlog.Cursor]
	unread      *gather.Group[unread.Question, unread.Count]
}

func newReads(ctx context.Context, cfg *Config) reads {
	return reads{
		marks: gather.New(func(ctx context.Context, logins []revoked.Login) ([]bool, error) {
			marked, err := cfg.Revoked.Among(ctx, logins)
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
		}, gather.Config{Context: ctx}),
		memberships: gather.New(cfg.Store.Memberships, gather.Config{Context: ctx, Most: membershipsAtOnce}),
		heads:       gather.New(cfg.Log.Heads, gather.Config{Context: ctx}),
		cursors:     gather.New(cfg.Log.CursorsAt, gather.Config{Context: ctx}),
		unread:      gather.New(cfg.Unread.Count, gather.Config{Context: ctx, Most: countsAtOnce}),
	}
}

// membershipsAtOnce is the most users of one query: each may have hundreds of channels.
const membershipsAtOnce = 100

// countsAtOnce is the most questions of one count. All about a channel share one read of its tail, so the
// more at once, the fewer reads.
const countsAtOnce = 2000

func (r *reads) wait() {
	r.marks.Wait()
	r.memberships.Wait()
	r.heads.Wait()
	r.cursors.Wait()
	r.unread.Wait()
}

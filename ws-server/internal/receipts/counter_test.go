package receipts

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/store"
)

// rows is a Store whose answers tests change.
type rows struct {
	stores
	newest store.Message
	reads  int // of the members
	err    error
}

func (r *rows) NewestMessage(context.Context, chat.ChannelID, int64) (store.Message, error) {
	return r.newest, nil
}

func (r *rows) Receipts(context.Context, chat.ChannelID) (map[chat.UserID]receiptlog.Receipt, error) {
	r.reads++
	return r.members, r.err
}

// A message that has come and left the ring between two counts must not be missed.
func TestCounter_newestMessage(t *testing.T) {
	t.Parallel()
	h, ch := newChannel()
	r := &rows{}
	c := newCounter(&Config{Store: r, Hub: h})
	s := &channelState{maxSeq: math.MaxInt64}
	for _, seq := range []int64{3, 900} {
		r.newest.Seq = seq
		if m, err := c.newestMessage(t.Context(), ch.ID(), s); err != nil || m.seq != seq {
			t.Errorf("%+v, %v; want seq %d", m, err, seq)
		}
	}
}

// The members are read once a minute, and before that only if Redis holds a receipt of a new one.
// Redis also holds the receipts of members who have left.
func TestCounter_refreshMembers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		member, departed, joined := chat.NewUserID(), chat.NewUserID(), chat.NewUserID()
		held := map[chat.UserID]receiptlog.Receipt{member: {}, departed: {}}
		r := &rows{stores: stores{members: map[chat.UserID]receiptlog.Receipt{member: {}}}}
		c, s := newCounter(&Config{Store: r}), &channelState{}
		refresh := func(after time.Duration, want int) {
			t.Helper()
			time.Sleep(after)
			if err := c.refreshMembers(t.Context(), chat.NewChannelID(), s, held); err != nil {
				t.Error(err)
			}
			if r.reads != want {
				t.Errorf("the members were read %d times, want %d", r.reads, want)
			}
		}
		refresh(0, 1)
		refresh(2*minMemberCacheAge, 1)
		held[joined] = receiptlog.Receipt{}
		refresh(0, 2)
		r.members[joined] = receiptlog.Receipt{}
		refresh(2*minMemberCacheAge, 2)
		refresh(memberCacheTTL, 3)

		r.err = errors.New("PostgreSQL is down")
		refresh(2*memberCacheTTL, 4)
		r.err = nil
		refresh(storeRetryInterval, 4)
		refresh(time.Second, 5) // as soon as it may be back
		refresh(minMemberCacheAge, 5)
		if len(s.members) != 2 {
			t.Errorf("%d members, want 2", len(s.members))
		}
	})
}

package client_test

import (
	"testing"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// A user may be in more channels than a connection can follow, and stays a member of all of them. A
// channel that is not followed is followed on demand, from its position; the channel that has been
// inactive for the longest time makes room.
func TestFollow_moreChannelsThanAllowed(t *testing.T) {
	t.Parallel()
	channels := []chat.ChannelID{chat.NewChannelID(), chat.NewChannelID(), chat.NewChannelID()}
	g := newGateway(t, channels...)
	g.onAsk = func(p frame.ChannelPosition) apierr.Code { // with g.mu held
		for _, subs := range g.conns {
			if len(subs) >= 2 && !subs[p.ChannelID] {
				return apierr.RateLimited
			}
		}
		return ""
	}
	r := g.run(nil)
	r.online(1)
	leftOut := func() (out []chat.ChannelID) {
		for _, s := range r.Channels() {
			if s.NotFollowed {
				out = append(out, s.ChannelID)
			}
		}
		return out
	}
	r.until("one channel is left out", func([]client.Event) bool { return len(leftOut()) == 1 && len(r.Channels()) == 3 })
	saw := func(c chat.ChannelID, n int) func([]client.Event) bool {
		return func(got []client.Event) bool {
			seen := 0
			for _, e := range all[client.ChannelEvent](got) {
				if e.Event.ChannelID == c {
					seen++
				}
			}
			return seen >= n
		}
	}
	out := leftOut()[0]
	g.say(out, 3) // while it is not followed
	busy := channels[0]
	if busy == out {
		busy = channels[1]
	}
	g.say(busy, 1)
	r.until("what is said in a channel that is followed", saw(busy, 1))
	r.Follow(out)
	got := r.until("what was said meanwhile", saw(out, 3))
	if now := leftOut(); len(now) != 1 || now[0] == busy || now[0] == out {
		t.Errorf("left out: %v, want the one in which nothing happened", now)
	}
	if left := all[client.Left](got); len(left) > 0 {
		t.Errorf("left: %+v", left)
	}
}

package client_test

import (
	"testing"

	"github.com/gorilla/websocket"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// A user may be in more channels than a connection can follow, and stays a member of all of them.
// Such a channel can be followed on demand, from its position. It takes the place of the channel
// that has been inactive the longest.
func TestFollow_moreChannelsThanAllowed(t *testing.T) {
	t.Parallel()
	channels := []chat.ChannelID{chat.NewChannelID(), chat.NewChannelID(), chat.NewChannelID()}
	g := newGateway(t, channels...)
	g.OnAsk = func(p frame.ChannelPosition) apierr.Code { // with g.Mu held
		for _, subs := range g.Conns {
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
	g.Say(out, 3) // while it is not followed
	busy := channels[0]
	if busy == out {
		busy = channels[1]
	}
	g.Say(busy, 1)
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

// TestFollow_onDemand checks that a channel that the server has left out is not subscribed to until
// it is followed, and then from its position. Following it again, or following an unknown channel,
// does nothing.
func TestFollow_onDemand(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	g.Hello = func(_ *websocket.Conn, h *frame.Hello) { h.Channels[0].NotFollowed = len(g.Tokens) == 1 }
	g.Say(c, 5)
	r := g.run(positions(c, 2, "1-a"))
	r.until("the channel is known", func([]client.Event) bool { return len(r.Channels()) == 1 })
	if !r.Channels()[0].NotFollowed {
		t.Errorf("the summary is %+v", r.Channels()[0])
	}
	r.Follow(chat.NewChannelID())
	r.Typing(c, true)
	g.Await(1, frame.Typing) // frames are sent in order, so a subscribe would have arrived before
	if asked := g.Received(frame.Subscribe); len(asked) != 0 {
		t.Errorf("asked for %+v", asked)
	}
	r.Follow(c)
	got := r.until("what was missed", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) >= 3 })
	inOrder(t, got, c, 3, 3)
	if r.Channels()[0].NotFollowed {
		t.Error("the channel is still not followed")
	}
	r.Follow(c)
	r.Typing(c, false)
	g.Await(2, frame.Typing)
	if asked := g.Received(frame.Subscribe, frame.Unsubscribe); len(asked) != 1 {
		t.Errorf("asked for %+v", asked)
	}
}

// TestFollow_noRoom checks that a channel stays left out if no other channel can make room for it.
func TestFollow_noRoom(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	g.OnAsk = func(frame.ChannelPosition) apierr.Code { return apierr.RateLimited }
	r := g.run(nil)
	leftOut := func([]client.Event) bool { return len(r.Channels()) == 1 && r.Channels()[0].NotFollowed }
	r.until("the channel is left out", leftOut)
	r.Follow(c)
	g.Await(2, frame.Subscribe)
	g.Push(frame.Encode(frame.TypingNotice{ChannelID: c, UserID: chat.NewUserID(), Typing: true}))
	got := r.until("the frame after the refusal", func(got []client.Event) bool { return len(all[client.Typing](got)) > 0 })
	r.Typing(c, true)
	g.Await(1, frame.Typing) // frames are sent in order, so another subscribe would have arrived before
	if asked := g.Received(frame.Subscribe, frame.Unsubscribe); len(asked) != 2 || len(all[client.Left](got)) != 0 || !leftOut(got) {
		t.Errorf("asked %+v, left %+v, channels %+v", asked, all[client.Left](got), r.Channels())
	}
}

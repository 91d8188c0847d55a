package gateway

import (
	"context"
	"sync"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// minTypingInterval is the minimum interval between two typing starts of a user in a channel.
// Earlier ones are ignored.
const minTypingInterval = 2 * time.Second

// typists tracks which users are typing on connections of this gateway. A state is published when
// it changes, but not when it is renewed. A state that is not renewed within expiry ends. Ended
// states are forgotten once the user may start typing again.
type typists struct {
	expiry  time.Duration
	publish func(typist, bool) // does not block

	mu     sync.Mutex // held across publish, so that states are published in their order
	states map[typist]*typingState
}

// typist is a user in a channel.
type typist struct {
	channel chat.ChannelID
	user    chat.UserID
}

type typingState struct {
	typing    bool
	client    *client   // connection that last renewed the state
	startedAt time.Time // when the user last started typing
	expiresAt time.Time // when the state ends unless it is renewed
}

func newTypists(expiry time.Duration, publish func(typist, bool)) *typists {
	return &typists{expiry: expiry, publish: publish, states: make(map[typist]*typingState)}
}

// handleTyping handles a typing frame.
func (c *client) handleTyping(f *frame.Client) error {
	if err := c.checkParticipates(*f.ChannelID); err != nil {
		return err
	}
	who := typist{*f.ChannelID, c.user}
	if *f.Typing {
		c.g.typists.begin(who, c, time.Now())
	} else {
		c.g.typists.end(who)
	}
	return nil
}

func (t *typists) begin(who typist, by *client, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.states[who]
	if s == nil {
		s = &typingState{}
		t.states[who] = s
	}
	switch {
	case s.typing:
		s.client, s.expiresAt = by, now.Add(t.expiry)
	case now.Sub(s.startedAt) >= minTypingInterval:
		*s = typingState{typing: true, client: by, startedAt: now, expiresAt: now.Add(t.expiry)}
		t.publish(who, true)
	}
}

func (t *typists) end(who typist) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.states[who]; s != nil && s.typing {
		t.stopLocked(who, s)
	}
}

// connectionLeft ends a typing state that was last renewed on a connection whose subscription has
// ended.
func (t *typists) connectionLeft(by *client, channel chat.ChannelID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	who := typist{channel, by.user}
	if s := t.states[who]; s != nil && s.typing && s.client == by {
		t.stopLocked(who, s)
	}
}

func (t *typists) stopLocked(who typist, s *typingState) {
	s.typing, s.client = false, nil
	t.publish(who, false)
}

// sweep ends states that were not renewed in time and removes ended states that are no longer
// needed.
func (t *typists) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for who, s := range t.states {
		switch {
		case s.typing && !now.Before(s.expiresAt):
			t.stopLocked(who, s)
		case !s.typing && now.Sub(s.startedAt) >= minTypingInterval:
			delete(t.states, who)
		}
	}
}

// run sweeps until ctx is done.
func (t *typists) run(ctx context.Context) {
	tick := time.NewTicker(max(10*time.Millisecond, min(t.expiry/24, 250*time.Millisecond)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			t.sweep(now)
		}
	}
}

// publishTyping publishes to a channel that a user has started or stopped typing.
func (g *Gateway) publishTyping(who typist, on bool) {
	g.cfg.Presence.Publish(who.channel, "typing", who.user,
		frame.Encode(frame.TypingNotice{ChannelID: who.channel, UserID: who.user, Typing: on}))
}

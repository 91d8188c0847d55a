package gateway

import (
	"context"
	"sync"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// typingEvery is how often a user may begin to type in a channel. What comes sooner is dropped.
const typingEvery = 2 * time.Second

// typists remembers who is typing over this gateway. A state is published when it changes and not when
// it is renewed; one that is not renewed for so long ends by itself. It keeps what has changed within
// the last seconds and nothing else.
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
	on    bool
	by    *client   // whose connection said so last
	began time.Time // last
	until time.Time // unless it is renewed
}

func newTypists(expiry time.Duration, publish func(typist, bool)) *typists {
	return &typists{expiry: expiry, publish: publish, states: make(map[typist]*typingState)}
}

// typing takes a typing frame.
func (c *client) typing(f *frame.Client) error {
	if err := c.participates(*f.ChannelID); err != nil {
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
	case s.on:
		s.by, s.until = by, now.Add(t.expiry)
	case now.Sub(s.began) >= typingEvery:
		*s = typingState{on: true, by: by, began: now, until: now.Add(t.expiry)}
		t.publish(who, true)
	}
}

func (t *typists) end(who typist) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.states[who]; s != nil && s.on {
		t.offLocked(who, s)
	}
}

// gone ends the typing of a connection whose subscription is over.
func (t *typists) gone(by *client, channel chat.ChannelID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	who := typist{channel, by.user}
	if s := t.states[who]; s != nil && s.on && s.by == by {
		t.offLocked(who, s)
	}
}

func (t *typists) offLocked(who typist, s *typingState) {
	s.on, s.by = false, nil
	t.publish(who, false)
}

// sweep ends what was not renewed and forgets what is over.
func (t *typists) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for who, s := range t.states {
		switch {
		case s.on && !now.Before(s.until):
			t.offLocked(who, s)
		case !s.on && now.Sub(s.began) >= typingEvery:
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

// publishTyping tells a channel that somebody types there, or no more.
func (g *Gateway) publishTyping(who typist, on bool) {
	g.cfg.Presence.Publish(who.channel, "typing", who.user,
		frame.Encode(frame.TypingNotice{ChannelID: who.channel, UserID: who.user, Typing: on}))
}

// Package typing tracks which users are typing on the connections of one gateway. It decides when a
// user has started or stopped typing; the gateway publishes the change to the channel.
//
// Run ends the typing states that clients do not renew. It uses a single goroutine, so there is no
// timer per state.
package typing

import (
	"cmp"
	"context"
	"sync"
	"time"

	"parley.chat/shared-contracts/chat"
)

// minStartInterval is the minimum interval between two typing starts by the same user in a channel.
// Starts within that interval are ignored.
const minStartInterval = 2 * time.Second

// Typist is a user in a channel.
type Typist struct {
	Channel chat.ChannelID
	User    chat.UserID
}

// Config configures a Tracker.
type Config struct {
	// Publish publishes the start or end of a user's typing. It must not block or call the Tracker.
	// Required.
	Publish func(who Typist, typing bool)
	// Expiry is how long a state lasts unless the client renews it. The default is 6 seconds.
	Expiry time.Duration
}

// Tracker holds the typing states of users on this gateway's connections. A state is published when
// it changes, but not when it is renewed. A state that is not renewed within Config.Expiry ends. An
// ended state is removed once the user may start typing again. A Tracker is safe for concurrent
// use.
type Tracker struct {
	cfg Config

	mu     sync.Mutex // held during Publish, so that changes are published in order
	states map[Typist]*state
}

type state struct {
	typing    bool
	conn      any       // connection that last renewed the state
	startedAt time.Time // when the user last started typing
	expiresAt time.Time // when the state ends unless it is renewed
}

// New returns a Tracker. It starts no goroutine.
func New(cfg Config) *Tracker {
	cfg.Expiry = cmp.Or(cfg.Expiry, 6*time.Second)
	return &Tracker{cfg: cfg, states: make(map[Typist]*state)}
}

// Run ends the states that are not renewed in time, until ctx is done.
func (t *Tracker) Run(ctx context.Context) {
	tick := time.NewTicker(max(10*time.Millisecond, min(t.cfg.Expiry/24, 250*time.Millisecond)))
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

// Start records that a user is typing on a connection. conn identifies the connection; it is a
// pointer.
func (t *Tracker) Start(who Typist, conn any) { t.start(who, conn, time.Now()) }

func (t *Tracker) start(who Typist, conn any, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.states[who]
	if s == nil {
		s = &state{}
		t.states[who] = s
	}
	switch {
	case s.typing:
		s.conn, s.expiresAt = conn, now.Add(t.cfg.Expiry)
	case now.Sub(s.startedAt) >= minStartInterval:
		*s = state{typing: true, conn: conn, startedAt: now, expiresAt: now.Add(t.cfg.Expiry)}
		t.cfg.Publish(who, true)
	}
}

// Stop records that a user has stopped typing.
func (t *Tracker) Stop(who Typist) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.states[who]; s != nil && s.typing {
		t.stopLocked(who, s)
	}
}

// Unsubscribed records that a connection's subscription to the channel has ended. It ends the
// user's typing state if that connection was the last one to renew it.
func (t *Tracker) Unsubscribed(who Typist, conn any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.states[who]; s != nil && s.typing && s.conn == conn {
		t.stopLocked(who, s)
	}
}

func (t *Tracker) stopLocked(who Typist, s *state) {
	s.typing, s.conn = false, nil
	t.cfg.Publish(who, false)
}

// sweep ends states that were not renewed in time and removes ended states that are no longer
// needed.
func (t *Tracker) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for who, s := range t.states {
		switch {
		case s.typing && !now.Before(s.expiresAt):
			t.stopLocked(who, s)
		case !s.typing && now.Sub(s.startedAt) >= minStartInterval:
			delete(t.states, who)
		}
	}
}

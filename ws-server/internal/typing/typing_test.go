package typing

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/shared-contracts/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The tracker must publish each change once, renewals not at all, and forget ended states.
func TestTracker(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(s float64) time.Time { return now.Add(time.Duration(s * float64(time.Second))) }
	who := Typist{chat.NewChannelID(), chat.NewUserID()}
	one, two := new(int), new(int) // connections
	for _, tt := range []struct {
		name string
		do   func(*Tracker)
		want []bool
		left int
	}{
		{"expires once", func(s *Tracker) { s.start(who, one, at(0)); s.sweep(at(5.9)); s.sweep(at(6)); s.sweep(at(7)) }, []bool{true, false}, 0},
		{"renewing publishes nothing", func(s *Tracker) {
			for i := range 10 {
				s.start(who, one, at(float64(3*i)))
				s.sweep(at(float64(3*i) + 2.9))
			}
			s.sweep(at(33))
			s.sweep(at(34))
		}, []bool{true, false}, 0},
		{"ends once", func(s *Tracker) { s.start(who, one, at(0)); s.Stop(who); s.Stop(who) }, []bool{true, false}, 1},
		{"starting again too soon", func(s *Tracker) { s.start(who, one, at(0)); s.Stop(who); s.start(who, one, at(1.9)) }, []bool{true, false}, 1},
		{"starting again after the interval", func(s *Tracker) { s.start(who, one, at(0)); s.Stop(who); s.start(who, one, at(2)) }, []bool{true, false, true}, 1},
		{"forgotten after the interval", func(s *Tracker) { s.start(who, one, at(0)); s.Stop(who); s.sweep(at(1.9)); s.sweep(at(2)) }, []bool{true, false}, 0},
		{"the connection leaves", func(s *Tracker) { s.start(who, one, at(0)); s.Unsubscribed(who, one) }, []bool{true, false}, 1},
		{"another connection leaves", func(s *Tracker) {
			s.start(who, one, at(0))
			s.start(who, two, at(1))
			s.Unsubscribed(who, one)
		}, []bool{true}, 1},
		{"never started", func(s *Tracker) { s.Stop(who); s.Unsubscribed(who, one) }, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []bool
			s := New(Config{Publish: func(_ Typist, on bool) { got = append(got, on) }})
			tt.do(s)
			if !slices.Equal(got, tt.want) || len(s.states) != tt.left {
				t.Errorf("published %v and kept %d, want %v and %d", got, len(s.states), tt.want, tt.left)
			}
		})
	}
}

// Run must end a state that the client does not renew.
func TestRun(t *testing.T) {
	t.Parallel()
	published := make(chan bool, 10)
	s := New(Config{Publish: func(_ Typist, on bool) { published <- on }, Expiry: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	s.Start(Typist{chat.NewChannelID(), chat.NewUserID()}, new(int))
	for _, want := range []bool{true, false} {
		select {
		case got := <-published:
			if got != want {
				t.Errorf("published %t, want %t", got, want)
			}
		case <-time.After(testkit.Timeout):
			t.Fatalf("%t was not published", want)
		}
	}
	cancel()
	<-done
}

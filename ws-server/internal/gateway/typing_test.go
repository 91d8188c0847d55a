package gateway

import (
	"slices"
	"testing"
	"time"

	"parley.chat/shared-contracts/chat"
)

func TestTypists(t *testing.T) {
	now := time.Now()
	at := func(s float64) time.Time { return now.Add(time.Duration(s * float64(time.Second))) }
	who := typist{chat.NewChannelID(), chat.NewUserID()}
	one, two := &client{user: who.user}, &client{user: who.user}
	for _, tt := range []struct {
		name string
		do   func(*typists)
		want []bool
		left int
	}{
		{"expires once", func(s *typists) { s.begin(who, one, at(0)); s.sweep(at(5.9)); s.sweep(at(6)); s.sweep(at(7)) }, []bool{true, false}, 0},
		{"renewing publishes nothing", func(s *typists) {
			for i := range 10 {
				s.begin(who, one, at(float64(3*i)))
				s.sweep(at(float64(3*i) + 2.9))
			}
			s.sweep(at(33))
			s.sweep(at(34))
		}, []bool{true, false}, 0},
		{"ends once", func(s *typists) { s.begin(who, one, at(0)); s.end(who); s.end(who) }, []bool{true, false}, 1},
		{"starting again too soon", func(s *typists) { s.begin(who, one, at(0)); s.end(who); s.begin(who, one, at(1.9)) }, []bool{true, false}, 1},
		{"starting again after the interval", func(s *typists) { s.begin(who, one, at(0)); s.end(who); s.begin(who, one, at(2)) }, []bool{true, false, true}, 1},
		{"forgotten after the interval", func(s *typists) { s.begin(who, one, at(0)); s.end(who); s.sweep(at(1.9)); s.sweep(at(2)) }, []bool{true, false}, 0},
		{"the connection leaves", func(s *typists) { s.begin(who, one, at(0)); s.connectionLeft(one, who.channel) }, []bool{true, false}, 1},
		{"another connection leaves", func(s *typists) {
			s.begin(who, one, at(0))
			s.begin(who, two, at(1))
			s.connectionLeft(one, who.channel)
		}, []bool{true}, 1},
		{"never started", func(s *typists) { s.end(who); s.connectionLeft(one, who.channel) }, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []bool
			s := newTypists(6*time.Second, func(_ typist, on bool) { got = append(got, on) })
			tt.do(s)
			if !slices.Equal(got, tt.want) || len(s.states) != tt.left {
				t.Errorf("published %v and kept %d, want %v and %d", got, len(s.states), tt.want, tt.left)
			}
		})
	}
}

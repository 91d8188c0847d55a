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
		{"once, expired", func(s *typists) { s.begin(who, one, at(0)); s.sweep(at(5.9)); s.sweep(at(6)); s.sweep(at(7)) }, []bool{true, false}, 0},
		{"renewed without a word", func(s *typists) {
			for i := range 10 {
				s.begin(who, one, at(float64(3*i)))
				s.sweep(at(float64(3*i) + 2.9))
			}
			s.sweep(at(33))
			s.sweep(at(34))
		}, []bool{true, false}, 0},
		{"ended once", func(s *typists) { s.begin(who, one, at(0)); s.end(who); s.end(who) }, []bool{true, false}, 1},
		{"too soon", func(s *typists) { s.begin(who, one, at(0)); s.end(who); s.begin(who, one, at(1.9)) }, []bool{true, false}, 1},
		{"soon enough", func(s *typists) { s.begin(who, one, at(0)); s.end(who); s.begin(who, one, at(2)) }, []bool{true, false, true}, 1},
		{"forgotten as soon as it may", func(s *typists) { s.begin(who, one, at(0)); s.end(who); s.sweep(at(1.9)); s.sweep(at(2)) }, []bool{true, false}, 0},
		{"the connection goes", func(s *typists) { s.begin(who, one, at(0)); s.connectionLeft(one, who.channel) }, []bool{true, false}, 1},
		{"another connection goes", func(s *typists) {
			s.begin(who, one, at(0))
			s.begin(who, two, at(1))
			s.connectionLeft(one, who.channel)
		}, []bool{true}, 1},
		{"never began", func(s *typists) { s.end(who); s.connectionLeft(one, who.channel) }, nil, 0},
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

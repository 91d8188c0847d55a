package scenario

import (
	"time"

	"parley.chat/loadtest/internal/swarm"
)

// turns makes publishers send at a given rate. A publisher sends only when its previous message has
// been acknowledged. If a send is due and no publisher is idle, the send waits for the next idle
// publisher. If rate is 0, every idle publisher sends immediately.
type turns struct {
	rate  float64
	idle  []*swarm.Conn
	owed  []int64 // due times of the sends that wait for an idle publisher
	going bool
	say   func(conn *swarm.Conn, due int64)
}

// begin schedules n sends, starting now. If rate is 0, it ignores n, and every idle publisher sends
// immediately.
func (t *turns) begin(loop *swarm.Loop, n int) {
	t.going = true
	if t.rate > 0 {
		loop.Pace(n, time.Duration(float64(time.Second)/t.rate), func(_ int, due int64) { t.next(due) })
		return
	}
	for range len(t.idle) {
		t.next(loop.Now())
	}
}

func (t *turns) next(due int64) {
	if !t.going {
		return
	}
	if len(t.idle) == 0 {
		t.owed = append(t.owed, due)
		return
	}
	conn := t.idle[0]
	t.idle = t.idle[1:]
	t.say(conn, due)
}

// acked records that a publisher's message was acknowledged, so that the publisher may send again.
func (t *turns) acked(conn *swarm.Conn, now int64) {
	switch {
	case t.going && t.rate == 0:
		t.say(conn, now)
	case t.going && len(t.owed) > 0:
		due := t.owed[0]
		t.owed = t.owed[1:]
		t.say(conn, due)
	default:
		t.idle = append(t.idle, conn)
	}
}

// end stops scheduling sends.
func (t *turns) end() { t.going, t.owed = false, nil }

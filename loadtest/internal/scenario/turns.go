package scenario

import (
	"time"

	"parley.chat/loadtest/internal/swarm"
)

// turns makes publishers send at a given rate. A publisher sends again only after its previous
// message was acknowledged. The next message is sent by an idle publisher; if none is idle, the
// send waits until one is. If there is no rate, every idle publisher sends immediately.
type turns struct {
	rate  float64
	idle  []*swarm.Conn
	owed  []int64 // the times at which the waiting sends were due
	going bool
	say   func(conn *swarm.Conn, due int64)
}

// begin schedules n sends from now on. If there is no rate, every idle publisher sends immediately.
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

// acked reports that a publisher may send again.
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

package eventlog

import (
	"testing"
	"time"

	"parley.chat/shared-contracts/chat"
)

// TestSubmit_trip: who asks learns what its event went with, and for the append that counted.
func TestSubmit_trip(t *testing.T) {
	t.Parallel()
	l, rdb, _ := newLog(t)
	first, second, sender := seeded(t, l), seeded(t, l), chat.NewUserID()
	a := NewAppender(l, rdb, empty, AppenderConfig{})
	began := time.Now()
	var trips [3]Trip
	done := make(chan error, len(trips))
	for i, ch := range []chat.ChannelID{first, first, second} { // before there is a connection: they go together
		e := message(ch, sender, "x")
		if err := a.Submit(&e, AppendOptions{Trip: &trips[i]}, func(_ Ack, err error) { done <- err }); err != nil {
			t.Fatal(err)
		}
	}
	startAppender(t, a)
	for range trips {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i, trip := range trips {
		if trip.Events != 3 || trip.Channels != 2 || trip.SentAt.Before(began) || trip.SentAt.After(time.Now()) {
			t.Errorf("trip %d is %+v, begun at %s", i, trip, began)
		}
	}

	e := message(first, sender, "x")
	e.ClientID = nil
	var none Trip
	if err := a.Submit(&e, AppendOptions{Trip: &none}, func(Ack, error) {}); err == nil || none != (Trip{}) {
		t.Errorf("a refused append went by %+v, %v", none, err)
	}
}

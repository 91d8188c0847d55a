package appender

import (
	"testing"
	"time"

	"parley.chat/internal/eventlog/logtest"
	"parley.chat/shared-contracts/chat"
)

// TestSubmit_batchInfo checks that the caller gets the information on the batch of the successful
// attempt.
func TestSubmit_batchInfo(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	first, second, sender := l.Seeded(t), l.Seeded(t), chat.NewUserID()
	a := New(l.Log, rdb, logtest.Empty, Config{})
	began := time.Now()
	var infos [3]BatchInfo
	done := make(chan error, len(infos))
	// Submitted before there is a connection, so they share a batch.
	for i, ch := range []chat.ChannelID{first, first, second} {
		e := message(ch, sender, "x")
		if err := a.Submit(&e, Options{Batch: &infos[i]}, func(_ Ack, err error) { done <- err }); err != nil {
			t.Fatal(err)
		}
	}
	startAppender(t, a)
	for range infos {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i, info := range infos {
		if info.Events != 3 || info.Channels != 2 || info.SentAt.Before(began) || info.SentAt.After(time.Now()) {
			t.Errorf("info %d is %+v, begun at %s", i, info, began)
		}
	}

	e := message(first, sender, "x")
	e.ClientID = nil
	var none BatchInfo
	if err := a.Submit(&e, Options{Batch: &none}, func(Ack, error) {}); err == nil || none != (BatchInfo{}) {
		t.Errorf("a refused append has the batch %+v, %v", none, err)
	}
}

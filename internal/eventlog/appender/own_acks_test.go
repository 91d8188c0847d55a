package appender

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"parley.chat/internal/eventlog/logtest"
	"parley.chat/shared-contracts/chat"
)

// Each append must get its own answer. Redis answers batches in the order in which they were
// written, so the lane must record them in that order. The test uses more threads than cores, so
// that threads are preempted between the two steps.
func TestAppender_eachGetsItsOwnAck(t *testing.T) {
	before := runtime.GOMAXPROCS(16)
	defer runtime.GOMAXPROCS(before)
	l, _ := logtest.New(t)
	rdb := l.Redis
	a := New(l.Log, rdb, logtest.Empty, Config{Logger: quiet})
	startAppender(t, a)
	var all sync.WaitGroup
	for range 64 {
		ch := l.Seeded(t)
		head, err := l.EnsureHead(t.Context(), ch, logtest.Empty)
		if err != nil {
			t.Fatal(err)
		}
		me := chat.NewUserID()
		all.Go(func() {
			for n := int64(1); n <= 200 && !t.Failed(); n++ {
				type outcome struct {
					ack Ack
					err error
				}
				got := make(chan outcome, 1)
				e := message(ch, me, fmt.Sprint(n))
				if err := a.Submit(&e, Options{}, func(ack Ack, err error) { got <- outcome{ack, err} }); err != nil {
					t.Error(err)
					return
				}
				if o := <-got; o.err != nil || o.ack.Seq != n || o.ack.Epoch != head.Epoch {
					t.Errorf("append %d of a channel of epoch %s: got seq %d, epoch %s, %v", n, head.Epoch, o.ack.Seq, o.ack.Epoch, o.err)
				}
			}
		})
	}
	all.Wait()
}

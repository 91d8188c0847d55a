package appender

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog/logtest"
	"parley.chat/shared-contracts/chat"
)

// benchChannels is the number of channels that the benchmarks append to.
const benchChannels = 50

// BenchmarkAppend measures complete appends, from the event to its ack, for many concurrent
// callers.
func BenchmarkAppend(b *testing.B) {
	for _, fsync := range []string{"always", "everysec"} {
		for _, inFlight := range []int{1, 100, 1000} { // callers per core
			b.Run(fmt.Sprintf("fsync=%s/callers=%d", fsync, inFlight), func(b *testing.B) {
				s := redistest.NewServer(b, redistest.Options{Settings: map[string]string{"appendfsync": fsync}})
				l := logtest.On(b, s.URL(), 16)
				rdb := l.Redis
				a := New(l.Log, rdb, logtest.Empty, Config{Logger: quiet})
				startAppender(b, a)
				channels := make([]chat.ChannelID, benchChannels)
				for i := range channels {
					channels[i] = l.Seeded(b)
				}
				body := strings.Repeat("hello ", 20)
				var next atomic.Int64
				before := calls(b, rdb, "evalsha")
				b.SetParallelism(inFlight)
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					ann := chat.NewUserID()
					for pb.Next() {
						ch := channels[next.Add(1)%benchChannels]
						if _, err := a.Append(context.Background(), message(ch, ann, body), Options{}); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
				b.ReportMetric(float64(b.N)/float64(calls(b, rdb, "evalsha")-before), "events/call")
			})
		}
	}
}

// BenchmarkAppendScript measures only the script, in pipelines of 50 calls, one per channel.
func BenchmarkAppendScript(b *testing.B) {
	for _, events := range []int{1, 10, 100} { // per call
		b.Run("events="+strconv.Itoa(events), func(b *testing.B) {
			s := redistest.NewServer(b, redistest.Options{Settings: map[string]string{"appendfsync": "everysec"}})
			l := logtest.On(b, s.URL(), 16)
			rdb := l.Redis
			a := New(l.Log, rdb, logtest.Empty, Config{Logger: quiet})
			channels := make([]chat.ChannelID, benchChannels)
			for i := range channels {
				channels[i] = l.Seeded(b)
			}
			if err := appendScript.Load(b.Context(), rdb).Err(); err != nil {
				b.Fatal(err)
			}
			body, ann := strings.Repeat("hello ", 20), chat.NewUserID()
			round := func() (batches [][]*pending) {
				for _, ch := range channels {
					for range events {
						if err := a.Submit(ref(message(ch, ann, body)), Options{}, func(Ack, error) {}); err != nil {
							b.Fatal(err)
						}
					}
					batches = append(batches, takeBack(a.lanes[0]))
				}
				return batches
			}
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				batches := round()
				b.StartTimer()
				if _, err := rdb.Pipelined(b.Context(), func(pipe redis.Pipeliner) error {
					for _, batch := range batches {
						keys, args := argsOf(b, a, batch)
						appendScript.EvalSha(b.Context(), pipe, keys, args...)
					}
					return nil
				}); err != nil {
					b.Fatal(err)
				}
				n += benchChannels * events
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkSubmit measures the work of an append before it waits: encoding, digest, keys.
func BenchmarkSubmit(b *testing.B) {
	l := logtest.On(b, "redis://127.0.0.1:1", 16) // never reached
	a := New(l.Log, l.Redis, logtest.Empty, Config{Logger: quiet})
	e := message(chat.NewChannelID(), chat.NewUserID(), strings.Repeat("hello ", 20))
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Submit(&e, Options{}, func(Ack, error) {}); err != nil {
			b.Fatal(err)
		}
		takeBack(a.lanes[0])
	}
}

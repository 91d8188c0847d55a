package subscriber

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog/logconn"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

// recorder is a Sink that forwards everything to a channel.
type recorder struct{ calls chan string }

func newRecorder() *recorder { return &recorder{calls: make(chan string, 100_000)} }

func (e *recorder) Received(topic string, payload []byte) { e.calls <- topic + "=" + string(payload) }
func (e *recorder) Flush()                                {}
func (e *recorder) Confirmed(topic string)                { e.calls <- "+" + topic }

// next waits for the next call and returns it as text.
func (e *recorder) next(t testing.TB) string {
	t.Helper()
	select {
	case s := <-e.calls:
		return s
	case <-time.After(testkit.Timeout):
		t.Fatal("nothing was received")
		return ""
	}
}

func (e *recorder) want(t testing.TB, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := e.next(t); got != w {
			t.Fatalf("received %q, want %q", got, w)
		}
	}
}

// until skips calls until want arrives.
func (e *recorder) until(t testing.TB, want string) {
	t.Helper()
	for e.next(t) != want {
	}
}

// newServer returns a server that only this test uses, and a client of it.
func newServer(t testing.TB) (redis.UniversalClient, *redistest.Server) {
	t.Helper()
	s := redistest.NewServer(t)
	rdb, err := redisclient.Open(s.URL(), redisclient.Options{NoRetry: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb, s
}

// overOne returns a Subscriber and its connection.
func overOne(rdb redis.UniversalClient, sink Sink) (*Subscriber, *logconn.Connections) {
	conns := logconn.New(rdb, 1, slog.New(slog.DiscardHandler))
	return Over(conns, func() Sink { return sink })[0], conns
}

// start runs s and its connection until the test ends. stop may be called before that.
func start(t testing.TB, s *Subscriber, conns *logconn.Connections) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, run := range []func(context.Context) error{conns.Run, s.Run} {
		all.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(testkit.Timeout):
			t.Error("the subscriber did not stop")
		}
	})
	t.Cleanup(stop)
	return stop
}

func publish(t testing.TB, rdb redis.UniversalClient, topic, payload string) {
	t.Helper()
	if err := rdb.SPublish(context.Background(), topic, payload).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestSubscriber_order(t *testing.T) {
	t.Parallel()
	rdb, _ := newServer(t)
	e := newRecorder()
	s, conns := overOne(rdb, e)
	a, b := rediskey.Topic(2, chat.NewChannelID()), rediskey.UserTopic(2, chat.NewUserID())
	s.Subscribe(a) // before Run
	start(t, s, conns)
	e.want(t, "+"+a)
	s.Subscribe(b)
	e.want(t, "+"+b)
	s.Subscribe(a) // already subscribed: no effect
	for i := range 500 {
		publish(t, rdb, []string{a, b}[i%2], strconv.Itoa(i))
	}
	for i := range 500 {
		e.want(t, []string{a, b}[i%2]+"="+strconv.Itoa(i))
	}
	s.Unsubscribe(b)
	testkit.Until(t, testkit.Timeout, func() error {
		if n := rdb.PubSubShardNumSub(t.Context(), b).Val()[b]; n != 0 {
			return fmt.Errorf("%d subscribers", n)
		}
		return nil
	})
	publish(t, rdb, b, "unheard")
	publish(t, rdb, a, "last")
	e.want(t, a+"=last")
}

// After a reconnection, messages may have been missed, so every topic is confirmed again.
func TestSubscriber_connectionKilled(t *testing.T) {
	t.Parallel()
	rdb, _ := newServer(t)
	e := newRecorder()
	s, conns := overOne(rdb, e)
	a, b, gone := rediskey.Topic(0, chat.NewChannelID()), rediskey.Topic(0, chat.NewChannelID()), rediskey.Topic(0, chat.NewChannelID())
	start(t, s, conns)
	for _, topic := range []string{a, b, gone} {
		s.Subscribe(topic)
		e.want(t, "+"+topic)
	}
	s.Unsubscribe(gone)
	for range 3 {
		if n, err := rdb.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Int(); err != nil || n < 1 {
			t.Fatalf("killed %d, %v", n, err)
		}
		again := map[string]bool{e.next(t): true, e.next(t): true}
		if !again["+"+a] || !again["+"+b] {
			t.Fatalf("confirmed %v", again)
		}
		publish(t, rdb, b, "x")
		e.want(t, b+"=x")
	}
}

func TestSubscriber_redisRestarted(t *testing.T) {
	t.Parallel()
	rdb, server := newServer(t)
	e := newRecorder()
	s, conns := overOne(rdb, e)
	a, b := rediskey.Topic(0, chat.NewChannelID()), rediskey.Topic(0, chat.NewChannelID())
	s.Subscribe(a)
	start(t, s, conns)
	e.want(t, "+"+a)
	server.Kill(t)
	s.Subscribe(b) // sent over the next connection
	server.Start(t)
	both := map[string]bool{e.next(t): true, e.next(t): true}
	if !both["+"+a] || !both["+"+b] {
		t.Errorf("confirmed %v", both)
	}
	testkit.Until(t, testkit.Timeout, func() error { return rdb.SPublish(context.Background(), b, "x").Err() })
	e.until(t, b+"=x")
}

// After any sequence of Subscribe and Unsubscribe calls, the wanted topics are confirmed and
// received, and the others are not.
func TestSubscriber_churn(t *testing.T) {
	t.Parallel()
	rdb, _ := newServer(t)
	e := newRecorder()
	s, conns := overOne(rdb, e)
	start(t, s, conns)
	topics := make([]string, 20)
	for i := range topics {
		topics[i] = rediskey.Topic(1, chat.NewChannelID())
	}
	var all sync.WaitGroup
	for i, topic := range topics {
		all.Go(func() {
			for range 50 + i {
				s.Subscribe(topic)
				s.Unsubscribe(topic)
			}
			if i%2 == 0 {
				s.Subscribe(topic)
			}
		})
	}
	all.Wait()
	for i, topic := range topics {
		testkit.Until(t, testkit.Timeout, func() error {
			if n, want := rdb.PubSubShardNumSub(t.Context(), topic).Val()[topic], int64((i+1)%2); n != want {
				return fmt.Errorf("%d subscribers, want %d", n, want)
			}
			return nil
		})
	}
	s.Subscribe("{1}:end") // its confirmation arrives after all others
	e.until(t, "+{1}:end")
	for i, topic := range topics {
		publish(t, rdb, topic, strconv.Itoa(i))
	}
	for i := 0; i < len(topics); i += 2 {
		e.want(t, topics[i]+"="+strconv.Itoa(i))
	}
	// Each Subscribe after an Unsubscribe is confirmed once more.
	for range 20 {
		s.Unsubscribe(topics[0])
		s.Subscribe(topics[0])
		e.want(t, "+"+topics[0])
	}
}

// A confirmation promises that messages arrive from now on. So if an Unsubscribe and another
// Subscribe have followed, the answer to the first Subscribe must not be reported as the
// confirmation of the second.
func TestSubscriber_confirmsTheLast(t *testing.T) {
	t.Parallel()
	rdb, _ := newServer(t)
	held, let := make(chan struct{}), make(chan struct{})
	e := newRecorder()
	s, conns := overOne(rdb, holding{e, held, let})
	const busy, topic = "{1}:busy", "{1}:x"
	s.Subscribe(busy)
	start(t, s, conns)
	e.want(t, "+"+busy)
	publish(t, rdb, busy, "hold")
	<-held // from now on the answers wait
	subscribers := func(want int64) {
		t.Helper()
		testkit.Until(t, testkit.Timeout, func() error {
			if n := rdb.PubSubShardNumSub(t.Context(), topic).Val()[topic]; n != want {
				return fmt.Errorf("%d subscribers, want %d", n, want)
			}
			return nil
		})
	}
	s.Subscribe(topic)
	subscribers(1)
	s.Unsubscribe(topic)
	subscribers(0)
	publish(t, rdb, topic, "missed")
	s.Subscribe(topic)
	subscribers(1)
	close(let)
	e.want(t, busy+"=hold", "+"+topic)
	publish(t, rdb, topic, "x")
	e.want(t, topic+"=x")
}

// holding is a Sink whose Received blocks.
type holding struct {
	*recorder
	held, let chan struct{}
}

func (h holding) Received(topic string, payload []byte) {
	if string(payload) == "hold" {
		close(h.held)
		<-h.let
	}
	h.recorder.Received(topic, payload)
}

// Commands that were not answered on the last connection must not be expected to be answered on the
// next one.
func TestSubscriber_newConnectionExpectsNothing(t *testing.T) {
	t.Parallel()
	s, _ := overOne(nil, newRecorder())
	l := (*listener)(s)
	const topic = "{1}:x"
	l.Topics()
	s.Subscribe(topic)
	l.Changes()
	s.Unsubscribe(topic)
	l.Changes()
	l.Topics()
	if asked, _ := l.answered(topic); asked {
		t.Error("a topic that is unwanted is expected to be answered")
	}
	s.Subscribe(topic)
	if join, leave := l.Changes(); len(join) != 1 || len(leave) != 0 {
		t.Errorf("join %v, leave %v", join, leave)
	}
	if asked, last := l.answered(topic); !asked || !last {
		t.Errorf("asked %v, last %v", asked, last)
	}
}

// Callers hold locks while they call Subscribe, so it must never wait for Redis.
func TestSubscriber_neverWaitsForRedis(t *testing.T) {
	t.Parallel()
	_, server := newServer(t)
	dialing, let := make(chan struct{}), make(chan struct{})
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		select {
		case dialing <- struct{}{}:
		default:
		}
		select {
		case <-let:
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}})
	defer rdb.Close()
	e := newRecorder()
	s, conns := overOne(rdb, e)
	stop := start(t, s, conns)
	defer stop()
	<-dialing
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Subscribe("{0}:a")
		s.Subscribe("{0}:b")
		s.Unsubscribe("{0}:b")
	}()
	select {
	case <-done:
	case <-time.After(time.Second):
		t.Error("Subscribe waits for the dial")
	}
	close(let)
	e.want(t, "+{0}:a")
}

func TestSubscriber_stops(t *testing.T) {
	t.Parallel()
	rdb, server := newServer(t)
	s, conns := overOne(rdb, newRecorder())
	stopNow := start(t, s, conns)
	stopNow() // possibly before it has connected
	e := newRecorder()
	s, conns = overOne(rdb, e)
	s.Subscribe("{0}:x")
	stop := start(t, s, conns)
	e.want(t, "+{0}:x")
	stop()
	testkit.Until(t, testkit.Timeout, func() error {
		if n := rdb.PubSubShardNumSub(t.Context(), "{0}:x").Val()["{0}:x"]; n != 0 {
			return errors.New("the connection is still there")
		}
		return nil
	})
	s.Subscribe("{0}:y") // harmless
	server.Kill(t)
	s, conns = overOne(rdb, newRecorder())
	stopDown := start(t, s, conns)
	stopDown()
}

// When a slot moves, the old node ends the subscriptions to its topics, and the subscriber connects
// to the new node.
func TestSubscriber_slotMoves(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 2, 0)
	rdb, err := redisclient.Open(c.URL(), redisclient.Options{NoRetry: true})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	e := newRecorder()
	s, conns := overOne(rdb, e)
	topic := rediskey.Topic(0, chat.NewChannelID())
	s.Subscribe(topic)
	stop := start(t, s, conns)
	defer stop()
	e.want(t, "+"+topic)
	slot := rdb.ClusterKeySlot(t.Context(), "0").Val()
	owner, other := 0, 1
	if slot >= 8192 {
		owner, other = 1, 0
	}
	to, from := c.Masters[other].Client(t), c.Masters[owner].Client(t)
	id, err := to.Do(t.Context(), "CLUSTER", "MYID").Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range []interface {
		Do(context.Context, ...any) *redis.Cmd
	}{to, from} {
		if err := node.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "NODE", id).Err(); err != nil {
			t.Fatal(err)
		}
	}
	e.want(t, "+"+topic)
	testkit.Until(t, testkit.Timeout, func() error { return to.SPublish(context.Background(), topic, "moved").Err() })
	e.until(t, topic+"=moved")
}

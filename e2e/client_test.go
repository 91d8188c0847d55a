package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley.chat/client"
	"parley.chat/internal/devkit/testkit"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

// These tests use Parley through the SDK, so they also test the SDK against the real services. They
// count the events themselves and do not rely on the SDK's own checks.

// user is a client of the SDK that records all its events.
type user struct {
	*client.Client
	t     *testing.T
	calls atomic.Int64 // REST requests
	stop  func() error // ends Run and returns its error

	mu       sync.Mutex
	events   map[chat.ChannelID][]client.ChannelEvent
	statuses map[chat.ClientID][]client.Status
	resets   []client.Reset
	online   int           // the number of hello frames received
	gate     chan struct{} // nil: events are read immediately; otherwise one event per value
}

// countedCalls is a transport that counts requests.
type countedCalls struct {
	http.RoundTripper
	n *atomic.Int64
}

func (c countedCalls) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

// begin starts a client for an account. It connects to gateway `first` before the other one.
func (a account) begin(first int, change func(*client.Config)) *user {
	t := a.w.t
	t.Helper()
	u := &user{t: t, events: map[chat.ChannelID][]client.ChannelEvent{}, statuses: map[chat.ClientID][]client.Status{}}
	transport := &http.Transport{}
	cfg := client.Config{
		URL: a.w.chat.base, Tokens: client.StaticToken(a.Token),
		Sockets: []string{a.w.ws[first].wsURL() + "/ws", a.w.ws[1-first].wsURL() + "/ws"},
		HTTP:    &http.Client{Transport: countedCalls{transport, &u.calls}},
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if u.Client, err = client.New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- u.Run(ctx) }()
	taken := make(chan struct{})
	go func() {
		defer close(taken)
		for e := range u.Events() {
			u.take(e)
		}
	}()
	u.stop = sync.OnceValue(func() error {
		cancel()
		err := <-ended
		<-taken
		transport.CloseIdleConnections()
		return err
	})
	t.Cleanup(func() { _ = u.stop() })
	return u
}

func (u *user) take(e client.Event) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch e := e.(type) {
	case client.ChannelEvent:
		u.events[e.ChannelID] = append(u.events[e.ChannelID], e)
	case client.Status:
		u.statuses[e.ClientID] = append(u.statuses[e.ClientID], e)
	case client.Reset:
		u.resets = append(u.resets, e)
	case client.Connection:
		if e.State == client.Online {
			u.online++
		}
	}
	if gate := u.gate; gate != nil {
		u.mu.Unlock()
		<-gate
		u.mu.Lock()
	}
}

func (u *user) awaitOnline(n int) {
	u.t.Helper()
	testkit.Until(u.t, testkit.Timeout, func() error {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.online < n {
			return fmt.Errorf("greeted %d times, want %d", u.online, n)
		}
		return nil
	})
}

// awaitSeq waits until an event has arrived, and checks that all events from first on arrived once
// each.
func (u *user) awaitSeq(c chat.ChannelID, first, last int64) []client.ChannelEvent {
	u.t.Helper()
	var events []client.ChannelEvent
	testkit.Until(u.t, testkit.Timeout, func() error {
		u.mu.Lock()
		defer u.mu.Unlock()
		events = u.events[c]
		if n := len(events); n == 0 || events[n-1].Seq < last {
			return fmt.Errorf("%d events have arrived, want up to seq %d", n, last)
		}
		return nil
	})
	for i, e := range events {
		if e.Seq != first+int64(i) {
			u.t.Fatalf("event %d has seq %d, want %d: a hole or a repeat", i, e.Seq, first+int64(i))
		}
	}
	return events
}

// states returns the states that a message has gone through.
func (u *user) states(id chat.ClientID) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	names := make([]string, len(u.statuses[id]))
	for i, s := range u.statuses[id] {
		names[i] = s.State.String()
	}
	return strings.Join(names, " ")
}

func (u *user) awaitStates(id chat.ClientID, want string) {
	u.t.Helper()
	testkit.Until(u.t, testkit.Timeout, func() error {
		if got := u.states(id); got != want {
			return fmt.Errorf("states %q, want %q", got, want)
		}
		return nil
	})
}

// follow waits until the client follows a channel.
func (u *user) follow(c chat.ChannelID) {
	u.t.Helper()
	testkit.Until(u.t, testkit.Timeout, func() error {
		for _, s := range u.Channels() {
			if s.ChannelID == c {
				return nil
			}
		}
		return errors.New("the channel is not followed")
	})
}

// sayAll sends n messages in order and waits for all acknowledgements.
func (u *user) sayAll(c chat.ChannelID, n int) {
	u.t.Helper()
	var last chat.ClientID
	for i := range n {
		testkit.Until(u.t, testkit.Timeout, func() (err error) {
			last, err = u.Post(client.ToChannel(c), fmt.Sprintf("message %d", i))
			return err
		})
	}
	testkit.Until(u.t, testkit.Timeout, func() error {
		if s := u.states(last); !strings.Contains(s, "sent") {
			return fmt.Errorf("the last message is %q", s)
		}
		return nil
	})
}

// pair returns two users who share a channel.
func (w *world) pair() (ann, bob account, c chat.ChannelID) {
	ann, bob = w.signup("ann"), w.signup("bob")
	c = ann.createChannel("lobby", "unlisted")
	bob.join(c)
	return ann, bob, c
}

// TestClient_journey uses every function of the SDK once.
func TestClient_journey(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	session, err := client.SignUp(ctx, w.chat.base, "ann", "ann@example.test", "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.SignUp(ctx, w.chat.base, "ANN", "x@example.test", "correct horse battery"); apierr.CodeOf(err) != apierr.UsernameTaken {
		t.Errorf("signup with a taken name: %v", err)
	}
	ann := account{w: w, Token: session.Credentials().Access}.begin(0, func(c *client.Config) { c.Tokens = session })
	bobs := w.signup("bob")
	bob := bobs.begin(1, nil)
	ann.awaitOnline(1)
	bob.awaitOnline(1)

	made, err := ann.API().CreateChannel(ctx, "tea", chat.Unlisted)
	if err != nil {
		t.Fatal(err)
	}
	c := made.ID
	if _, err := bob.API().JoinChannel(ctx, c); err != nil {
		t.Fatal(err)
	}
	ann.follow(c)
	bob.follow(c)
	hello, err := ann.Send(ctx, client.ToChannel(c), "helo @bob")
	if err != nil {
		t.Fatal(err)
	}
	bob.Delivered(c, hello.Seq)
	ann.awaitStates(hello.ClientID, "pending sent delivered")
	bob.Read(c, hello.Seq)
	ann.awaitStates(hello.ClientID, "pending sent delivered read")
	for _, do := range []func() (client.Ack, error){
		func() (client.Ack, error) { return ann.Edit(ctx, c, hello.ID, "hello @bob") },
		func() (client.Ack, error) { return bob.React(ctx, c, hello.ID, "👍", false) },
		func() (client.Ack, error) { return ann.Delete(ctx, c, hello.ID) },
	} {
		if _, err := do(); err != nil {
			t.Fatal(err)
		}
	}
	events := bob.awaitSeq(c, bob.firstOf(c), hello.Seq+3)
	want := []event.Kind{event.Message, event.Edit, event.Reaction, event.Delete}
	for i, e := range events[len(events)-4:] {
		if e.Type != want[i] || e.Mine != (e.Type == event.Reaction) {
			t.Errorf("event %d is %s, mine %v", i, e.Type, e.Mine)
		}
	}
	if _, err := bob.Edit(ctx, c, hello.ID, "mine now"); apierr.CodeOf(err) != apierr.Forbidden {
		t.Errorf("an edit of another's message: %v", err)
	}
	online, err := ann.WhoIsOnline(ctx, c)
	if err != nil || len(online) != 2 {
		t.Errorf("online: %v, %v", online, err)
	}

	direct, err := ann.Send(ctx, client.ToUser(bobs.ID), "just us")
	if err != nil {
		t.Fatal(err)
	}
	if got := bob.awaitSeq(direct.ChannelID, 1, 1); got[0].Body != "just us" {
		t.Errorf("direct message: %+v", got[0])
	}
	messages, err := bob.API().Newest(ctx, direct.ChannelID, 10)
	if err != nil || len(messages) != 1 || messages[0].Body != "just us" {
		t.Errorf("history: %+v, %v", messages, err)
	}
	if err := errors.Join(ann.stop(), bob.stop()); err != nil {
		t.Error(err)
	}
}

// firstOf returns the seq of the first event of a channel that arrived.
func (u *user) firstOf(c chat.ChannelID) int64 {
	u.t.Helper()
	var first int64
	testkit.Until(u.t, testkit.Timeout, func() error {
		u.mu.Lock()
		defer u.mu.Unlock()
		if len(u.events[c]) == 0 {
			return errors.New("no event has come")
		}
		first = u.events[c][0].Seq
		return nil
	})
	return first
}

// TestClient_killedGateways kills both gateways in turn under load. Each send settles once, with
// its own seq, and the other user sees each message once, in order.
func TestClient_killedGateways(t *testing.T) {
	w := newWorld(t)
	anns, bobs, c := w.pair()
	ann, bob := anns.begin(0, nil), bobs.begin(1, nil)
	ann.awaitOnline(1)
	bob.awaitOnline(1)
	first, err := ann.Send(t.Context(), client.ToChannel(c), "first")
	if err != nil {
		t.Fatal(err)
	}

	const senders, each = 8, 60
	acks := make(chan client.Ack, senders*each)
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				ack, err := ann.Send(context.Background(), client.ToChannel(c), fmt.Sprintf("%d-%d", s, i))
				if err != nil {
					t.Errorf("send: %v", err)
					return
				}
				acks <- ack
				if i%10 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	for _, ws := range w.ws {
		at := len(acks)
		testkit.Until(t, testkit.Timeout, func() error {
			if n := len(acks); n < at+senders*each/8 && n < senders*each {
				return fmt.Errorf("%d acknowledged", n)
			}
			return nil
		})
		ws.proc.Kill(t)
		ws.restart()
	}
	wg.Wait()
	close(acks)
	bySeq := map[int64]chat.ClientID{}
	for a := range acks {
		if other, taken := bySeq[a.Seq]; taken {
			t.Errorf("seq %d was assigned to %s and %s", a.Seq, other, a.ClientID)
		}
		bySeq[a.Seq] = a.ClientID
	}
	if len(bySeq) != senders*each {
		t.Fatalf("%d sends acknowledged, want %d", len(bySeq), senders*each)
	}
	last := first.Seq + senders*each
	events := bob.awaitSeq(c, bob.firstOf(c), last)
	for _, e := range events[len(events)-senders*each:] {
		if e.ClientID == nil || bySeq[e.Seq] != *e.ClientID {
			t.Errorf("seq %d is not the event that was acknowledged with it", e.Seq)
		}
	}
	if n := events[len(events)-1].Seq; n != last {
		t.Errorf("the last seq is %d, want %d: a message was appended twice", n, last)
	}
	for _, id := range bySeq {
		// Send may return before the reader of Events has recorded the message as sent.
		testkit.Until(t, testkit.Timeout, func() error {
			if got := ann.states(id); strings.Count(got, "sent") != 1 || strings.Contains(got, "failed") {
				return fmt.Errorf("%s went through the states %q", id, got)
			}
			return nil
		})
	}
	if ann.online+bob.online < 4 {
		t.Errorf("greeted %d and %d times: no client was disconnected, so the test shows nothing", ann.online, bob.online)
	}
}

// TestClient_catchesUp checks a client that misses 3,000 and then 10,000 events. All of them
// arrive, in order, with a limited number of requests. A client that has missed more events than
// its limit gets a Reset and makes no requests.
func TestClient_catchesUp(t *testing.T) {
	w := newWorldWith(t, map[string]string{"FRAME_RATE": "off"})
	anns, bobs, c := w.pair()
	ann := anns.begin(0, nil)
	ann.awaitOnline(1)
	bob := bobs.begin(1, nil)
	bob.awaitOnline(1)
	first, err := ann.Send(t.Context(), client.ToChannel(c), "first")
	if err != nil {
		t.Fatal(err)
	}
	head := first.Seq
	at := bob.awaitSeq(c, bob.firstOf(c), head)[0].Position()
	at.Seq = head
	if err := bob.stop(); err != nil {
		t.Fatal(err)
	}
	for _, missed := range []int{3000, 10_000} {
		ann.sayAll(c, missed)
		from := at.Seq
		head += int64(missed)
		bob = bobs.begin(1, func(cfg *client.Config) { cfg.Positions = map[chat.ChannelID]client.Position{c: at} })
		begun := time.Now()
		events := bob.awaitSeq(c, from+1, head)
		bob.awaitOnline(1)
		// One more request is needed if the last page does not end where the subscription begins.
		if calls, most := bob.calls.Load(), int64(missed/client.PageSize+1); calls > most {
			t.Errorf("%d missed: %d requests, at most %d", missed, calls, most)
		}
		if bob.online != 1 {
			t.Errorf("%d connections, want one", bob.online)
		}
		t.Logf("%d events in %d requests and %v", missed, bob.calls.Load(), time.Since(begun))
		// Later events follow without a gap.
		if _, err := ann.Send(t.Context(), client.ToChannel(c), "now"); err != nil {
			t.Fatal(err)
		}
		head++
		bob.awaitSeq(c, from+1, head)
		at = client.Position{Seq: head, Epoch: events[0].Epoch}
		if err := bob.stop(); err != nil {
			t.Fatal(err)
		}
	}

	stale := client.Position{Seq: head - 5000, Epoch: at.Epoch}
	bob = bobs.begin(1, func(cfg *client.Config) {
		cfg.Positions, cfg.MaxCatchUp = map[chat.ChannelID]client.Position{c: stale}, 2000
	})
	testkit.Until(t, testkit.Timeout, func() error {
		bob.mu.Lock()
		defer bob.mu.Unlock()
		if len(bob.resets) != 1 {
			return fmt.Errorf("resets: %v", bob.resets)
		}
		return nil
	})
	if r := bob.resets[0]; r.From != stale || r.To.Seq != head || r.Lost || bob.calls.Load() != 0 {
		t.Errorf("reset %+v after %d requests", r, bob.calls.Load())
	}
	page, err := bob.API().Newest(t.Context(), c, client.PageSize)
	if err != nil || len(page) != client.PageSize || page[len(page)-1].Seq != head {
		t.Errorf("newest page: %d messages, %v", len(page), err)
	}
}

// TestClient_slowCaller checks that a caller that stops reading for a while misses no event and
// gets none twice.
func TestClient_slowCaller(t *testing.T) {
	w := newWorldWith(t, map[string]string{"FRAME_RATE": "off"})
	anns, bobs, c := w.pair()
	ann := anns.begin(0, nil)
	bob := bobs.begin(1, func(cfg *client.Config) { cfg.Buffer = 8 })
	ann.awaitOnline(1)
	bob.awaitOnline(1)
	gate := make(chan struct{})
	bob.mu.Lock()
	bob.gate = gate
	before := len(bob.events[c])
	bob.mu.Unlock()
	first, err := ann.Send(t.Context(), client.ToChannel(c), strings.Repeat("x", 8000))
	if err != nil {
		t.Fatal(err)
	}
	const n = 3000
	for range n { // 24 MB: more than the sockets and queues hold
		testkit.Until(t, testkit.Timeout, func() error {
			_, err := ann.Post(client.ToChannel(c), strings.Repeat("x", 8000))
			return err
		})
	}
	ann.awaitSeq(c, ann.firstOf(c), first.Seq+n)
	bob.mu.Lock()
	got := len(bob.events[c])
	bob.mu.Unlock()
	if got > before+1 { // one event may already be waiting to be read
		t.Errorf("%d events were read, want at most one", got-before)
	}
	close(gate)
	bob.awaitSeq(c, bob.firstOf(c), first.Seq+n)
	if bob.online < 2 {
		t.Error("the gateway has buffered everything, so the test shows nothing")
	}
}

// TestClient_renewsItsToken checks that a connection outlives its access tokens.
func TestClient_renewsItsToken(t *testing.T) {
	w := newWorldWith(t, map[string]string{"ACCESS_TOKEN_TTL": "3s"})
	session, err := client.SignUp(t.Context(), w.chat.base, "ann", "ann@example.test", "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	var renewed atomic.Int64
	session.Renewed = func(client.Credentials) { renewed.Add(1) }
	ann := account{w: w}.begin(0, func(c *client.Config) { c.Tokens = session })
	ann.awaitOnline(1)
	testkit.Until(t, testkit.Timeout, func() error {
		if n := renewed.Load(); n < 4 { // more than two lifetimes of a token
			return fmt.Errorf("renewed %d times", n)
		}
		return nil
	})
	if ann.online != 1 {
		t.Errorf("%d connections, want one: tokens are renewed in place", ann.online)
	}
	// A restarted gateway does not know the session; it accepts the current token.
	w.ws[0].proc.Kill(t)
	w.ws[0].restart()
	ann.awaitOnline(2)
	if err := session.LogOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ann.ended(t):
	case <-time.After(testkit.Timeout):
		t.Fatal("Run continues after the session has ended")
	}
	if _, err := ann.Send(t.Context(), client.ToChannel(chat.NewChannelID()), "x"); !errors.Is(err, client.ErrClosed) {
		t.Errorf("send after the end: %v", err)
	}
}

// ended is closed when the client has stopped by itself with an error.
func (u *user) ended(t *testing.T) <-chan struct{} {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		testkit.Until(t, testkit.Timeout, func() error {
			if _, err := u.Post(client.ToChannel(chat.NewChannelID()), "x"); !errors.Is(err, client.ErrClosed) {
				return fmt.Errorf("post: %w", err)
			}
			return nil
		})
		err := u.stop()
		if _, ok := errors.AsType[*client.CloseError](err); !ok && apierr.CodeOf(err) != apierr.Unauthenticated {
			t.Errorf("Run = %v", err)
		}
	}()
	return done
}

// TestClient_resync makes Redis lose its newest writes. The caller learns what to discard, and
// continues.
func TestClient_resync(t *testing.T) {
	w := newWorld(t)
	anns, bobs, c := w.pair()
	ann, bob := anns.begin(0, nil), bobs.begin(1, nil)
	ann.awaitOnline(1)
	bob.awaitOnline(1)
	ann.sayAll(c, 20)
	first := bob.firstOf(c)
	bob.awaitSeq(c, first, first+19)
	testkit.Until(t, testkit.Timeout, func() error {
		if n := int64(len(w.rows(c))); n < first+19 {
			return fmt.Errorf("%d stored", n)
		}
		return nil
	})
	rdb, p := w.redis.Client(t), rediskey.Of(c.UUID, 16)
	if err := errors.Join(rdb.RPopCount(t.Context(), rediskey.Tail(p, c), 5).Err(), rdb.HIncrBy(t.Context(), rediskey.Counter(p, c), "seq", -5).Err()); err != nil {
		t.Fatal(err)
	}
	for _, u := range []*user{ann, bob} {
		testkit.Until(t, testkit.Timeout, func() error {
			u.mu.Lock()
			defer u.mu.Unlock()
			if len(u.resets) == 0 || !u.resets[0].Lost {
				return fmt.Errorf("resets: %v", u.resets)
			}
			return nil
		})
	}
	ack, err := ann.Send(t.Context(), client.ToChannel(c), "on we go")
	if err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		bob.mu.Lock()
		defer bob.mu.Unlock()
		events := bob.events[c]
		e := events[len(events)-1]
		if e.Seq != ack.Seq || e.Epoch != bob.resets[0].To.Epoch || e.Body != "on we go" {
			return fmt.Errorf("the newest event is %+v", e)
		}
		return nil
	})
}

// TestClient_learnsReceiptsAfterReconnect checks that a client gets the receipts that it missed
// while it was disconnected, although receipts are not replayed.
func TestClient_learnsReceiptsAfterReconnect(t *testing.T) {
	w := newWorld(t)
	anns, bobs, c := w.pair()
	ann := anns.begin(0, nil)
	ann.awaitOnline(1)
	ack, err := ann.Send(t.Context(), client.ToChannel(c), "read this")
	if err != nil {
		t.Fatal(err)
	}
	for _, ws := range w.ws {
		ws.proc.Kill(t)
	}
	// bob reads the message over REST, because no gateway is running.
	w.call(http.MethodPut, "/v1/channels/"+c.String()+"/cursor", bobs.Token, map[string]int64{"read_seq": ack.Seq}, http.StatusOK, nil)
	for _, ws := range w.ws {
		ws.restart()
	}
	ann.awaitStates(ack.ClientID, "pending sent read")
}

// TestClient_leaksNoGoroutine checks that no goroutine is left after Run has returned, whatever the
// reason.
func TestClient_leaksNoGoroutine(t *testing.T) {
	w := newWorld(t)
	ann := w.signup("ann")
	before := goleak.IgnoreCurrent()
	u := ann.begin(0, nil)
	u.awaitOnline(1)
	if err := u.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	w.ws[0].proc.Kill(t)
	w.ws[1].proc.Kill(t)
	u = ann.begin(0, nil) // this client never gets a connection
	if err := u.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	goleak.VerifyNone(t, before, testkit.Redialing())
}

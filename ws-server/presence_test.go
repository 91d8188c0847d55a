package wsserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

// presenceOf decodes a presence frame.
func presenceOf(t testing.TB, f wstest.Frame) frame.PresenceNotice {
	t.Helper()
	var n frame.PresenceNotice
	if err := json.Unmarshal(f.Raw, &n); err != nil {
		t.Fatalf("%s: %v", f.Raw, err)
	}
	return n
}

// whoIs asks which users are online in a channel.
func whoIs(t testing.TB, conn *wstest.Conn, c chat.ChannelID, after string) frame.PresenceNotice {
	t.Helper()
	ref := chat.NewClientID().String()
	conn.Send(t, map[string]any{"type": "presence", "ref": ref, "channel_id": c, "after": after})
	f := conn.AwaitRef(t, ref)
	if f.Type != "presence" {
		t.Fatalf("asked who is online: %s", f.Raw)
	}
	return presenceOf(t, f)
}

// awaitOnline waits until exactly the given people are online.
func awaitOnline(t testing.TB, within time.Duration, conn *wstest.Conn, c chat.ChannelID, people ...person) {
	t.Helper()
	var want []string
	for _, p := range people {
		want = append(want, p.ID.String())
	}
	slices.Sort(want)
	testkit.Until(t, testkit.Timeout, func() error {
		n := whoIs(t, conn, c, "")
		var got []string
		for _, u := range n.Joined {
			got = append(got, u.String())
		}
		slices.Sort(got)
		if n.OnlineCount != len(want) || !slices.Equal(got, want) {
			return fmt.Errorf("%d online: %v, want %v", n.OnlineCount, got, want)
		}
		return nil
	})
}

// awaitLeft waits for the notice that p has left.
func awaitLeft(t testing.TB, within time.Duration, conn *wstest.Conn, p person) frame.PresenceNotice {
	t.Helper()
	f, err := conn.TryAwait(within, func(f wstest.Frame) bool {
		return f.Type == "presence" && f.Ref == "" && slices.Contains(presenceOf(t, f).Left, p.ID)
	})
	if err != nil {
		t.Fatalf("%s did not leave within %v: %v", p.Name, within, err)
	}
	return presenceOf(t, f)
}

func awaitJoined(t testing.TB, conn *wstest.Conn, p person) frame.PresenceNotice {
	t.Helper()
	return presenceOf(t, conn.Await(t, p.Name+" coming", func(f wstest.Frame) bool {
		return f.Type == "presence" && f.Ref == "" && slices.Contains(presenceOf(t, f).Joined, p.ID)
	}))
}

func TestPresence_countsAUserOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.person("ann"), w.person("bob"), w.person("eve")
	c, other := w.channel(chat.Public, ann, bob), w.channel(chat.Public, eve)
	one, _ := w.gateway()
	two, _ := w.gateway()
	a, _ := w.connect(one, ann)
	awaitOnline(t, testkit.Timeout, a, c, ann)

	b1, _ := w.connect(one, bob)
	if n := awaitJoined(t, a, bob); n.OnlineCount != 2 || len(n.Left) != 0 {
		t.Errorf("after bob's arrival: %+v", n)
	}
	b2, _ := w.connect(two, bob)
	b3, _ := w.connect(two, bob)
	awaitOnline(t, testkit.Timeout, b2, c, ann, bob)
	b1.Close()
	b2.Close()
	e, _ := w.connect(two, eve) // on every gateway, this is queued behind bob's two closed connections
	awaitOnline(t, testkit.Timeout, e, other, eve)
	awaitOnline(t, testkit.Timeout, a, c, ann, bob)
	for _, f := range a.Frames() {
		if f.Type == "presence" && f.Ref == "" && len(presenceOf(t, f).Left) > 0 {
			t.Errorf("bob has left though he still has a connection: %s", f.Raw)
		}
	}
	b3.Close()
	if n := awaitLeft(t, testkit.Timeout, a, bob); n.OnlineCount != 1 || len(n.Joined) != 0 {
		t.Errorf("after bob's leaving: %+v", n)
	}
	awaitOnline(t, testkit.Timeout, a, c, ann)

	for _, id := range []chat.ChannelID{other, chat.NewChannelID()} {
		a.Send(t, map[string]any{"type": "presence", "ref": "x", "channel_id": id})
		if f := a.AwaitRef(t, "x"); f.Code != "not_subscribed" {
			t.Errorf("presence of a channel without a subscription: %s", f.Raw)
		}
	}
	a.Send(t, map[string]any{"type": "presence", "ref": "y", "channel_id": c, "after": "nonsense"})
	if f := a.AwaitRef(t, "y"); f.Code != "bad_frame" {
		t.Errorf("an invalid cursor: %s", f.Raw)
	}
	for _, f := range e.Frames() {
		if f.ChannelID == c {
			t.Errorf("a non-member gets presence of the channel: %s", f.Raw)
		}
	}
}

func TestPresence_countsOnlySubscribers(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	awaitJoined(t, a, bob)
	b.Send(t, map[string]any{"type": "unsubscribe", "ref": "u", "channel_id": c})
	b.AwaitRef(t, "u")
	awaitLeft(t, testkit.Timeout, a, bob)
	b.Send(t, map[string]any{"type": "subscribe", "ref": "s", "channel_id": c, "last_seen_seq": 0})
	b.AwaitRef(t, "s")
	awaitJoined(t, a, bob)
	awaitOnline(t, testkit.Timeout, a, c, ann, bob)
}

func TestPresence_usersOfADrainedGatewayLeaveImmediately(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	one, _ := w.gateway()
	two, stop := w.gateway()
	a, _ := w.connect(one, ann)
	w.connect(two, bob)
	awaitOnline(t, testkit.Timeout, a, c, ann, bob)
	stop()
	if n := awaitLeft(t, time.Second, a, bob); n.OnlineCount != 1 {
		t.Errorf("after the drain: %+v", n)
	}
	awaitOnline(t, time.Second, a, c, ann)
	if n, err := w.rdb.ZCard(t.Context(), rediskey.Gateways).Result(); err != nil || n != 1 {
		t.Errorf("%d gateways, %v; want 1", n, err)
	}
	keys, err := w.rdb.Keys(t.Context(), "parley:*online*").Result()
	if err != nil || len(keys) != 1 {
		t.Errorf("keys %q, %v; want the keys of one gateway", keys, err)
	}
}

func TestPresence_usersOfAKilledGatewayLeave(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	one, _ := w.gateway()

	keys := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write(token.EncodeJWKS(token.StaticKeys{w.key.ID: w.key.Public()}))
	}))
	defer keys.Close()
	addr := fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t))
	proc := proctest.Start(t, "ws-server", nil, map[string]string{
		"WS_ADDR": addr, "DATABASE_URL": w.db.URL, "REDIS_URL": w.url, "JWKS_URL": keys.URL,
	})
	proc.WaitReady(t, "http://"+addr+"/readyz")

	a, _ := w.connect(one, ann)
	w.connect("ws://"+addr, bob)
	awaitOnline(t, testkit.Timeout, a, c, ann, bob)
	proc.Kill(t)
	killed := time.Now()
	if n := awaitLeft(t, testkit.Timeout, a, bob); n.OnlineCount != 1 {
		t.Errorf("after the kill: %+v", n)
	}
	t.Logf("bob left %v after the kill", time.Since(killed).Round(100*time.Millisecond))
	awaitOnline(t, time.Second, a, c, ann)
	testkit.Until(t, testkit.Timeout, func() error {
		leftover, err := w.rdb.Keys(context.Background(), "parley:*").Result()
		n := 0
		for _, k := range leftover {
			if strings.Contains(k, ":online:") || strings.Contains(k, ":gateway:") {
				n++
			}
		}
		if err == nil && n != 2 {
			err = fmt.Errorf("%d presence keys in %q, want the 2 of the live gateway", n, leftover)
		}
		return err
	})
}

// largeChannel creates n users who are members of a new channel.
func (w *world) largeChannel(n int) (chat.ChannelID, []person) {
	w.t.Helper()
	c := w.channel(chat.Public)
	people := make([]person, n)
	ids, names := make([]string, n), make([]string, n)
	for i := range people {
		people[i] = person{ID: chat.NewUserID(), Session: chat.NewSessionID(), Name: fmt.Sprintf("user-%d", i)}
		people[i].Token = w.token(people[i])
		ids[i], names[i] = people[i].ID.String(), people[i].Name
	}
	w.exec(`insert into users (id, username, email, password_hash)
		select id, name, name || '@example.test', 'x' from unnest($1::uuid[], $2::text[]) as u(id, name)`, ids, names)
	w.exec(`insert into channel_members (channel_id, user_id) select $1, unnest($2::uuid[])`, c.UUID, ids)
	return c, people
}

// commands returns the number of calls of each Redis command.
func (w *world) commands() map[string]int {
	w.t.Helper()
	info, err := w.rdb.Info(w.t.Context(), "commandstats").Result()
	if err != nil {
		w.t.Fatal(err)
	}
	calls := map[string]int{}
	for _, m := range regexp.MustCompile(`cmdstat_([^:]+):calls=(\d+)`).FindAllStringSubmatch(info, -1) {
		calls[m[1]], _ = strconv.Atoi(m[2])
	}
	return calls
}

func TestPresence_ofALargeChannelIsACheapCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 500
	c, people := w.largeChannel(n + 1)
	one, _ := w.gateway()
	two, _ := w.gateway()
	watcher, _ := w.connect(one, people[n])
	awaitOnline(t, testkit.Timeout, watcher, c, people[n])

	before := w.commands()
	began := time.Now()
	var mu sync.Mutex
	var conns []*wstest.Conn
	var g errgroup.Group
	g.SetLimit(32)
	for i, p := range people[:n] {
		url := []string{one, two}[i%2]
		g.Go(func() error {
			conn, _, err := wstest.TryDial(t, url+"/ws", header("Authorization", "Bearer "+p.Token))
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, conn := range conns {
		conn.AwaitType(t, "hello")
	}
	testkit.Until(t, testkit.Timeout, func() error {
		for _, f := range watcher.Frames() {
			if f.Type == "presence" && f.Ref == "" && presenceOf(t, f).OnlineCount == n+1 {
				return nil
			}
		}
		return errors.New("the full count was not published")
	})
	took := time.Since(began)
	after := w.commands()
	delta := func(name string) int { return after[name] - before[name] }
	// Each gateway writes to the channel's presence at most four times a second. It also renews its
	// lease.
	maxCalls := 2 * (6*int(took/time.Second) + 10)
	t.Logf("%d connections in %v: evalsha %d, sadd %d, zrangebyscore %d, spublish %d", n, took.Round(time.Millisecond),
		delta("evalsha"), delta("sadd"), delta("zrangebyscore"), delta("spublish"))
	for _, name := range []string{"evalsha", "zrangebyscore", "spublish"} {
		if delta(name) > maxCalls {
			t.Errorf("%d × %s for %d connections in %v, want at most %d", delta(name), name, n, took, maxCalls)
		}
	}
	if delta("sadd") > 2*maxCalls {
		t.Errorf("%d × sadd, want at most %d", delta("sadd"), 2*maxCalls)
	}

	// Above 200 users only the count is published, at most once a second.
	counts := 0
	for _, f := range watcher.Frames() {
		if f.Type != "presence" || f.Ref != "" {
			continue
		}
		if p := presenceOf(t, f); p.OnlineCount > 200 {
			counts++
			if len(p.Joined)+len(p.Left) > 0 {
				t.Errorf("names in a large channel: %.300s", f.Raw)
			}
		}
	}
	if allowed := 2 + int(took/time.Second); counts > allowed {
		t.Errorf("%d counts in %v, want at most %d", counts, took, allowed)
	}

	// All users can be listed page by page.
	answer := whoIs(t, watcher, c, "")
	if answer.OnlineCount != n+1 || len(answer.Joined) != 0 || answer.Next == "" {
		t.Fatalf("asked in a large channel: %+v", answer)
	}
	listed := map[chat.UserID]bool{}
	pages := 0
	for next := answer.Next; next != ""; pages++ {
		page := whoIs(t, watcher, c, next)
		if len(page.Joined) > 250 || pages > 50 {
			t.Fatalf("page %d has %d users", pages, len(page.Joined))
		}
		for _, u := range page.Joined {
			listed[u] = true
		}
		next = page.Next
	}
	if len(listed) != n+1 || pages < 3 {
		t.Errorf("%d of %d users listed on %d pages", len(listed), n+1, pages)
	}

	// In a large channel, a small change in the count may be published later.
	soFar, quiet := len(watcher.Frames()), time.Now()
	conns[n-1].Close()
	testkit.Until(t, testkit.Timeout, func() error {
		for _, f := range watcher.Frames()[soFar:] {
			if f.Type == "presence" && f.Ref == "" && presenceOf(t, f).OnlineCount == n {
				return nil
			}
		}
		return errors.New("the count after one has left was not published")
	})
	if waited := time.Since(quiet); waited < 3*time.Second {
		t.Errorf("a change of one in %d was published %v after the previous count", n, waited)
	}
	conns = conns[:n-1]

	// Typing is not published in a large channel.
	conns[0].Send(t, map[string]any{"type": "typing", "channel_id": c, "typing": true})
	conns[0].Send(t, map[string]any{"type": "typing", "channel_id": c, "typing": false})

	// When only a few users are left, names are published again.
	for _, conn := range conns[2:] {
		conn.Close()
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if n := whoIs(t, watcher, c, ""); n.OnlineCount != 3 || len(n.Joined) != 3 {
			return fmt.Errorf("%+v", n)
		}
		return nil
	})
	conns[0].Close()
	conns[1].Close()
	testkit.Until(t, testkit.Timeout, func() error {
		for _, f := range watcher.Frames() {
			if f.Type == "typing" {
				t.Fatalf("typing in a large channel: %s", f.Raw)
			}
			if f.Type == "presence" && f.Ref == "" {
				if p := presenceOf(t, f); p.OnlineCount == 1 && len(p.Left) > 0 {
					return nil
				}
			}
		}
		return errors.New("the names of the last users who left were not published")
	})
}

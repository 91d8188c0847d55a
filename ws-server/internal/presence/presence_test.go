package presence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

const (
	partitions = 4
	lease      = 1500 * time.Millisecond
)

// gateway is the running Presence of one instance.
type gateway struct {
	*Presence
	rdb  redis.UniversalClient
	stop func()
}

func start(t *testing.T, s *redistest.Server) *gateway {
	t.Helper()
	return startOn(t, s.Client(t))
}

func startOn(t *testing.T, rdb redis.UniversalClient) *gateway {
	t.Helper()
	var out io.Writer = io.Discard
	if os.Getenv("PARLEY_TEST_LOG") != "" {
		out = os.Stderr
	}
	g := &gateway{rdb: rdb, Presence: New(Config{
		Redis: rdb, Partitions: partitions, Lease: lease, Logger: slog.New(slog.NewTextHandler(out, nil)),
	})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }() // stop waits for the goroutine
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(g.stop)
	return g
}

// crash stops an instance without letting it remove its users.
func (g *gateway) crash() {
	_ = g.rdb.Close()
	g.stop()
}

func (g *gateway) await(t *testing.T, c chat.ChannelID, want ...chat.UserID) {
	t.Helper()
	testkit.Until(t, testkit.Timeout, func() error {
		o, err := g.Online(context.Background(), c, "")
		if err != nil {
			return err
		}
		if got := sorted(o.Users); o.Count != len(want) || !slices.Equal(got, sorted(want)) {
			return fmt.Errorf("%d online: %v, want %v", o.Count, got, sorted(want))
		}
		return nil
	})
}

func sorted(users []chat.UserID) []string {
	texts := make([]string, len(users))
	for i, u := range users {
		texts[i] = u.String()
	}
	slices.Sort(texts)
	return texts
}

// listen returns the frames published to a channel so far.
func listen(t *testing.T, s *redistest.Server, c chat.ChannelID) (frames func() []string) {
	t.Helper()
	sub := s.Client(t).SSubscribe(context.Background(), rediskey.Topic(rediskey.Of(c.UUID, partitions), c))
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var got []string
	done := make(chan struct{})
	go func() { // ends when the cleanup closes the subscription; the cleanup waits for it
		defer close(done)
		for m := range sub.Channel() {
			it, err := event.DecodeItem([]byte(m.Payload))
			if err != nil || !it.Ephemeral() {
				t.Errorf("published %q: %v", m.Payload, err)
			}
			mu.Lock()
			got = append(got, string(it.Frame))
			mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = sub.Close(); <-done })
	return func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(got) }
}

func awaitFrame(t *testing.T, frames func() []string, want string) {
	t.Helper()
	testkit.Until(t, testkit.Timeout, func() error {
		if all := frames(); !slices.Contains(all, want) {
			return fmt.Errorf("%s was not published, but %q", want, all)
		}
		return nil
	})
}

func presenceFrame(c chat.ChannelID, count int, joined, left string) string {
	quote := func(s string) string {
		if s == "" {
			return "[]"
		}
		return `["` + s + `"]`
	}
	return fmt.Sprintf(`{"type":"presence","channel_id":"%s","online_count":%d,"joined":%s,"left":%s}`, c, count, quote(joined), quote(left))
}

// leftovers returns an error if Redis has keys or leases of gateways other than these.
func leftovers(rdb redis.UniversalClient, alive ...*gateway) error {
	keys, err := rdb.Keys(context.Background(), "*").Result()
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k == rediskey.Gateways {
			continue
		}
		if !slices.ContainsFunc(alive, func(g *gateway) bool { return strings.Contains(k, g.current()) }) {
			return fmt.Errorf("the key %s is left over", k)
		}
	}
	n, err := rdb.ZCard(context.Background(), rediskey.Gateways).Result()
	if err == nil && n != int64(len(alive)) {
		err = fmt.Errorf("%d gateways, want %d", n, len(alive))
	}
	return err
}

// current returns the gateway's id.
func (g *gateway) current() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.id
}

func TestCrash_othersRemoveItsUsers(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	ann, bob := chat.NewUserID(), chat.NewUserID()
	both, alone := chat.NewChannelID(), chat.NewChannelID()
	frames := listen(t, s, both)
	one, two, three := start(t, s), start(t, s), start(t, s)
	one.Join(both, ann)
	two.Join(both, ann)
	two.Join(both, bob)
	two.Join(alone, bob)
	one.await(t, both, ann, bob)
	one.await(t, alone, bob)
	two.crash()
	one.await(t, both, ann)
	one.await(t, alone)
	awaitFrame(t, frames, presenceFrame(both, 1, "", bob.String()))
	testkit.Until(t, testkit.Timeout, func() error { return leftovers(one.rdb, one, three) })
	n := 0
	for _, f := range frames() {
		if strings.Contains(f, `"left":["`) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d leave notices, want one from all gateways together: %q", n, frames())
	}
}

func TestCrash_duringACleanup(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	rdb := s.Client(t)
	bob, c := chat.NewUserID(), chat.NewChannelID()
	p := rediskey.Of(c.UUID, partitions)
	now, err := rdb.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	declareDead := func(id string, ago time.Duration) {
		for _, err := range []error{
			rdb.ZAdd(t.Context(), rediskey.Gateways, redis.Z{Score: -float64(now.Add(-ago).UnixMilli()), Member: id}).Err(),
			rdb.SAdd(t.Context(), rediskey.Online(p, c, id), bob.String()).Err(),
			rdb.SAdd(t.Context(), rediskey.GatewayChannels(p, id), c.String()).Err(),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	declareDead("longago", cleanupRetryAfter+time.Second)
	declareDead("justnow", -time.Hour) // another gateway is cleaning it up
	one := start(t, s)
	testkit.Until(t, testkit.Timeout, func() error {
		n, err := rdb.Exists(context.Background(), rediskey.Online(p, c, "longago"), rediskey.GatewayChannels(p, "longago")).Result()
		if err == nil && n != 0 {
			err = fmt.Errorf("%d keys are left", n)
		}
		return err
	})
	one.await(t, c)
	if n, err := rdb.Exists(t.Context(), rediskey.Online(p, c, "justnow")).Result(); err != nil || n != 1 {
		t.Errorf("removed what another gateway is cleaning up: %d, %v", n, err)
	}
}

func TestRedisDataLost_usersAreWrittenAgain(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	one := start(t, s)
	ann, bob := chat.NewUserID(), chat.NewUserID()
	c := chat.NewChannelID()
	one.Join(c, ann)
	one.Join(c, bob)
	one.await(t, c, ann, bob)
	if err := one.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	one.await(t, c, ann, bob)

	// Only some of the writes are lost. The gateway notices that at the channel's next change.
	eve, ghost := chat.NewUserID(), chat.NewUserID()
	set := rediskey.Online(rediskey.Of(c.UUID, partitions), c, one.current())
	if err := one.rdb.SRem(t.Context(), set, ann.String(), bob.String()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := one.rdb.SAdd(t.Context(), set, ghost.String()).Err(); err != nil {
		t.Fatal(err)
	}
	one.Join(c, eve)
	one.await(t, c, ann, bob, eve)
	for _, u := range []chat.UserID{ann, bob, eve} {
		one.Leave(c, u)
	}
	one.await(t, c)
	testkit.Until(t, testkit.Timeout, func() error { return leftovers(one.rdb, one) })
}

func TestOutage_noGatewayIsDeclaredDead(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	one, two := start(t, s), start(t, s)
	ann, bob, c := chat.NewUserID(), chat.NewUserID(), chat.NewChannelID()
	one.Join(c, ann)
	two.Join(c, bob)
	one.await(t, c, ann, bob)
	ids := []string{one.current(), two.current()}
	// Simulate an outage: all leases expire while no gateway can renew them.
	expired := func(id string) redis.Z {
		now, err := one.rdb.Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return redis.Z{Score: float64(now.Add(-time.Second).UnixMilli()), Member: id}
	}
	if err := one.rdb.ZAdd(t.Context(), rediskey.Gateways, expired(ids[0]), expired(ids[1])).Err(); err != nil {
		t.Fatal(err)
	}
	one.await(t, c, ann, bob)
	if now := []string{one.current(), two.current()}; !slices.Equal(now, ids) {
		t.Errorf("gateways %v, want the same as before: %v", now, ids)
	}
}

func TestBurst_makesOneWrite(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	one := start(t, s)
	warm, first := chat.NewChannelID(), chat.NewUserID()
	one.Join(warm, first)
	one.await(t, warm, first)
	c := chat.NewChannelID()
	frames := listen(t, s, c)
	users, flicker := make([]chat.UserID, 100), chat.NewUserID()
	one.mu.Lock() // no write may begin within the burst, however long it takes
	for i := range users {
		users[i] = chat.NewUserID()
		one.joinLocked(c, users[i])
		one.joinLocked(c, users[i]) // another connection
	}
	one.joinLocked(c, flicker)
	one.leaveLocked(c, flicker)
	one.mu.Unlock()
	one.await(t, c, users...)
	testkit.Until(t, testkit.Timeout, func() error {
		if len(frames()) == 0 {
			return errors.New("nothing was published")
		}
		return nil
	})
	if got := frames(); len(got) != 1 || !strings.Contains(got[0], `"online_count":100,`) || strings.Contains(got[0], flicker.String()) {
		t.Errorf("published %.500q, want one frame of 100", got)
	}
	for _, u := range users {
		one.Leave(c, u)
	}
	one.await(t, c, users...) // each user still has one connection
	for _, u := range users {
		one.Leave(c, u)
	}
	one.await(t, c)
	testkit.Until(t, testkit.Timeout, func() error { return leftoversOf(one, c) })
}

// leftoversOf returns an error if the gateway still has the channel in memory.
func leftoversOf(g *gateway, c chat.ChannelID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ch := g.channels[c]; ch != nil {
		return fmt.Errorf("the channel is still in memory with %d users", len(ch.users))
	}
	return nil
}

func TestCluster_tracksUsersOfAllPartitions(t *testing.T) {
	t.Parallel()
	s := redistest.Cluster(t, 3, 0)
	one, two := startOn(t, s.Client(t)), startOn(t, s.Client(t))
	ann, bob := chat.NewUserID(), chat.NewUserID()
	var channels []chat.ChannelID
	for range 20 { // spread over the partitions
		c := chat.NewChannelID()
		channels = append(channels, c)
		one.Join(c, ann)
		two.Join(c, ann)
		two.Join(c, bob)
	}
	for _, c := range channels {
		one.await(t, c, ann, bob)
	}
	two.crash()
	for _, c := range channels {
		one.await(t, c, ann)
	}
	one.Leave(channels[0], ann)
	one.await(t, channels[0])
}

func TestCursor_parses(t *testing.T) {
	for _, bad := range []string{"x", ".", "a.", "a.-1", "a.!", strings.Repeat("x", 17) + ".1"} {
		if _, err := parsePosition(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	want := position{"gw", 1 << 40}
	if got, err := parsePosition(want.String()); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

// If a user reconnects within the grace period, nothing is published and Redis is not written. If a
// user does not reconnect, their absence is published after the grace period.
func TestDisconnect_countsForTheGracePeriod(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	one := startOn(t, s.Client(t))
	one.cfg.Grace = 2 * time.Second // set before anything has disconnected
	c := chat.NewChannelID()
	ann, bob := chat.NewUserID(), chat.NewUserID()
	frames := listen(t, s, c)
	one.Join(c, ann)
	one.Join(c, bob)
	one.await(t, c, ann, bob)
	one.Disconnect(bob, []chat.ChannelID{c})
	one.Disconnect(ann, []chat.ChannelID{c})
	one.Join(c, bob) // reconnects
	disconnected := time.Now()
	awaitFrame(t, frames, presenceFrame(c, 1, "", ann.String()))
	if waited := time.Since(disconnected); waited < time.Second {
		t.Errorf("ann's leaving was published after %v", waited)
	}
	one.await(t, c, bob)
	for _, f := range frames() {
		if strings.Contains(f, `"left":["`+bob.String()) {
			t.Errorf("a user who came back was published as having left: %s", f)
		}
	}
}

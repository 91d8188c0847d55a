package streamreader_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/streamreader"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

const key = "parley:{3}:stream"

// open returns a client for the URL and a reader of a stream that has a group.
func open(t *testing.T, url string) (redis.UniversalClient, *streamreader.Reader) {
	t.Helper()
	rdb, err := redisclient.Open(url, redisclient.Options{NoRetry: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	if err := rdb.XGroupCreateMkStream(t.Context(), key, rediskey.ConsumerGroup, "0").Err(); err != nil {
		t.Fatal(err)
	}
	s := streamreader.New(rdb, key, "c1")
	t.Cleanup(s.Close)
	return rdb, s
}

func add(t *testing.T, rdb redis.UniversalClient, pairs ...string) string {
	t.Helper()
	id, err := rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: key, Values: pairs}).Result()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// read returns the entries of one read as text.
func read(t *testing.T, s *streamreader.Reader, from string, count int) (got []string) {
	t.Helper()
	n, err := s.Read(t.Context(), from, count, -1, func(e streamreader.Entry) {
		got = append(got, fmt.Sprintf("%s %q", e.ID, e.Pairs))
		if e.Pairs == nil {
			got[len(got)-1] = e.ID + " gone"
		}
	})
	if err != nil || n != len(got) {
		t.Fatalf("Read returned %d, handled %d entries: %v", n, len(got), err)
	}
	return got
}

func TestRead(t *testing.T) {
	t.Parallel()
	rdb, s := open(t, redistest.NewServer(t).URL())
	if got := read(t, s, ">", 10); got != nil {
		t.Fatalf("an empty stream has %q", got)
	}
	large := strings.Repeat("x\r\n$é", 100_000)
	a := add(t, rdb, "k", "1", "", "an empty name", "empty", "")
	b := add(t, rdb, "large", large)
	c := add(t, rdb, "k", "3")
	wantA, wantB, wantC := fmt.Sprintf("%s %q", a, []string{"k", "1", "", "an empty name", "empty", ""}), fmt.Sprintf("%s %q", b, []string{"large", large}), fmt.Sprintf("%s %q", c, []string{"k", "3"})
	if got := read(t, s, ">", 2); !slices.Equal(got, []string{wantA, wantB}) {
		t.Fatalf("the first two are %.200q", got)
	}
	if got := read(t, s, ">", 2); !slices.Equal(got, []string{wantC}) {
		t.Fatalf("the rest is %.200q", got)
	}
	if err := rdb.XDel(t.Context(), key, a).Err(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, "0", 10); !slices.Equal(got, []string{a + " gone", wantB, wantC}) {
		t.Fatalf("pending are %.200q", got)
	}
	if got := read(t, s, b, 10); !slices.Equal(got, []string{wantC}) {
		t.Fatalf("pending after the second are %.200q", got)
	}
}

// TestRead_blocks checks that a blocking read returns an entry that is added while it waits, and
// returns nothing when its timeout expires.
func TestRead_blocks(t *testing.T) {
	t.Parallel()
	rdb, s := open(t, redistest.NewServer(t).URL())
	if n, err := s.Read(t.Context(), ">", 10, 10*time.Millisecond, func(streamreader.Entry) {}); n != 0 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	came := make(chan string, 1)
	go func() {
		_, err := s.Read(context.WithoutCancel(t.Context()), ">", 10, 2*time.Second, func(e streamreader.Entry) { came <- e.ID })
		if err != nil {
			t.Error(err)
		}
		close(came)
	}()
	testkit.Until(t, testkit.Timeout, func() error {
		if info, err := rdb.Info(t.Context(), "clients").Result(); err != nil || !strings.Contains(info, "blocked_clients:1") {
			return fmt.Errorf("no client is blocked: %w", err)
		}
		return nil
	})
	id := add(t, rdb, "k", "1")
	if got := <-came; got != id {
		t.Fatalf("got %q, want %q", got, id)
	}
	<-came
}

// TestRead_noGroup checks that a missing group causes an error that redis.HasErrorPrefix
// recognizes, and that the connection stays open.
func TestRead_noGroup(t *testing.T) {
	t.Parallel()
	rdb, s := open(t, redistest.NewServer(t).URL())
	read(t, s, ">", 1)
	if err := rdb.Del(t.Context(), key).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), ">", 1, -1, func(streamreader.Entry) {}); !redis.HasErrorPrefix(err, "NOGROUP") {
		t.Fatalf("got %v", err)
	}
	if err := rdb.XGroupCreateMkStream(t.Context(), key, rediskey.ConsumerGroup, "0").Err(); err != nil {
		t.Fatal(err)
	}
	read(t, s, ">", 1)
	clients, err := rdb.ClientList(t.Context()).Result()
	if err != nil || strings.Count(clients, "name=parley-sync") != 1 {
		t.Fatalf("clients %s, %v", clients, err)
	}
}

// TestRead_reconnects checks that a broken connection makes one read fail, and that the next read
// reconnects.
func TestRead_reconnects(t *testing.T) {
	t.Parallel()
	rd := redistest.NewServer(t)
	rdb, s := open(t, rd.URL())
	a := add(t, rdb, "k", "1")
	if got := read(t, s, ">", 1); len(got) != 1 {
		t.Fatalf("got %q", got)
	}
	rd.Kill(t)
	for range 2 { // first the connection fails, then the dial
		if _, err := s.Read(t.Context(), ">", 1, -1, func(streamreader.Entry) {}); err == nil {
			t.Fatal("a read succeeded although Redis is down")
		}
	}
	rd.Start(t)
	if got := read(t, s, "0", 1); !slices.Equal(got, []string{fmt.Sprintf("%s %q", a, []string{"k", "1"})}) {
		t.Fatalf("got %q", got)
	}
}

// TestRead_login checks that the user, the password and the database in the URL are used.
func TestRead_login(t *testing.T) {
	t.Parallel()
	rd := redistest.NewServer(t)
	admin := rd.Client(t)
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "eve", "on", ">secret", "~*", "&*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	if err := admin.ConfigSet(t.Context(), "requirepass", "hidden").Err(); err != nil {
		t.Fatal(err)
	}
	for _, login := range []*url.Userinfo{url.UserPassword("eve", "secret"), url.UserPassword("", "hidden")} {
		u := url.URL{Scheme: "redis", User: login, Host: rd.Addr(), Path: "/2"}
		rdb, s := open(t, u.String())
		id := add(t, rdb, "k", "1")
		if got := read(t, s, ">", 1); len(got) != 1 || !strings.HasPrefix(got[0], id) {
			t.Fatalf("%s: got %q", login, got)
		}
		if err := rdb.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	rdb, err := redisclient.Open("redis://eve:wrong@"+rd.Addr(), redisclient.Options{NoRetry: true})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	if _, err := streamreader.New(rdb, key, "c1").Read(t.Context(), ">", 1, -1, func(streamreader.Entry) {}); !redis.HasErrorPrefix(err, "WRONGPASS") {
		t.Fatalf("a wrong password: %v", err)
	}
}

// TestRead_cluster checks that in a Cluster the reader connects to the stream's node.
func TestRead_cluster(t *testing.T) {
	t.Parallel()
	rdb, s := open(t, redistest.Cluster(t, 3, 0).URL())
	id := add(t, rdb, "k", "1")
	if got := read(t, s, ">", 1); len(got) != 1 || !strings.HasPrefix(got[0], id) {
		t.Fatalf("got %q", got)
	}
}

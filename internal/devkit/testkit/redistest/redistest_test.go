package redistest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

func TestServer_keepsWhatItAnswered(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	client := s.Client(t)
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for _, end := range []func(testing.TB){s.Kill, s.Stop} {
		end(t)
		if err := client.Ping(t.Context()).Err(); err == nil {
			t.Error("a server that is down answers")
		}
		s.Start(t)
		if v, err := client.Get(t.Context(), "k").Result(); err != nil || v != "v" {
			t.Errorf("after a restart: %q, %v; want v", v, err)
		}
	}
}

func TestServer_pause(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t, redistest.Options{MaxMemory: 10 << 20})
	client := s.Client(t)
	if m, err := client.ConfigGet(t.Context(), "maxmemory").Result(); err != nil || m["maxmemory"] != "10485760" {
		t.Errorf("maxmemory = %v, %v", m, err)
	}
	s.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := client.Do(ctx, "ping").Err(); err == nil {
		t.Error("a paused server answers")
	}
	s.Resume(t)
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("after Resume: %v", err)
	}
}

func TestCluster_replicaTakesOver(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 3, 1)
	client := c.Client(t)
	for _, key := range []string{"{0}", "{1}", "{2}", "{3}", "{4}"} {
		if err := client.Set(t.Context(), key, key, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.KillMaster(t, 0)
	testkit.Until(t, testkit.Timeout, func() error {
		var errs []error
		for _, key := range []string{"{0}", "{1}", "{2}", "{3}", "{4}"} {
			errs = append(errs, client.Set(context.Background(), key, "again", 0).Err())
		}
		return errors.Join(errs...)
	})
	c.WaitOK(t)
	var pubsub *redis.PubSub = client.SSubscribe(t.Context(), "{0}:topic")
	defer pubsub.Close()
	if _, err := pubsub.Receive(t.Context()); err != nil {
		t.Errorf("sharded subscription: %v", err)
	}
}

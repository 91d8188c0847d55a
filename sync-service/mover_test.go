package syncservice_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/prometheus/client_golang/prometheus"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
	syncservice "parley.chat/sync-service"
)

// entryOf builds the entry of a message, as a gateway does.
func entryOf(t testing.TB, ch chat.ChannelID, seq int64, body string) event.Entry {
	t.Helper()
	client := chat.NewClientID()
	f := frame.Event{
		Type: event.Message, ChannelID: ch, Seq: seq, ID: chat.NewEventID(), ClientID: &client,
		SenderID: chat.NewUserID(), SenderName: "ann", Body: body, SentAt: chat.Now(),
	}
	payload, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return event.Entry{
		Version: event.Version, Channel: ch, Seq: seq, Epoch: "1-a", Kind: f.Type, ID: f.ID,
		Sender: f.SenderID, ClientID: client, Payload: payload,
	}
}

// put appends an entry unchanged.
func put(t testing.TB, rdb *redis.Client, e event.Entry) string {
	t.Helper()
	id, err := rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: rediskey.Stream(rediskey.Of(e.Channel.UUID, partitions)), Values: e.Fields()}).Result()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// settings returns the settings of a service on the given stores.
func settings(t testing.TB, pgURL, redisURL string) syncservice.Config {
	t.Helper()
	env := map[string]string{
		"DATABASE_URL": pgURL, "REDIS_URL": redisURL, "STREAM_PARTITIONS": fmt.Sprint(partitions), "CONSUMER_NAME": "test", "CLAIM_IDLE": "500ms",
	}
	var cfg syncservice.Config
	if err := config.Load(&cfg, func(name string) string { return env[name] }); err != nil {
		t.Fatal(err)
	}
	cfg.Addr = ""
	return cfg
}

// serve runs the service until the test ends or the returned function is called.
func serve(t testing.TB, cfg syncservice.Config) (stop func()) {
	t.Helper()
	s, err := syncservice.New(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := lifecycle.Run(ctx, slog.New(slog.DiscardHandler), 0, s.Parts()...)
		if err = errors.Join(err, s.Close()); err != nil {
			t.Errorf("service: %v", err)
		}
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

// TestMove_twoEventsAtOneSeq checks that both events are kept, and that the second one gets one new
// seq, no matter how often its entry is delivered.
func TestMove_twoEventsAtOneSeq(t *testing.T) {
	t.Parallel()
	pg, rd := schematest.Open(t), redistest.NewServer(t)
	rdb, pool := rd.Client(t), pg.Pool(t)
	ch := chat.NewChannelID()
	p := rediskey.Of(ch.UUID, partitions)
	first, second := entryOf(t, ch, 1, "first"), entryOf(t, ch, 1, "second")
	put(t, rdb, first)
	put(t, rdb, second)
	put(t, rdb, second) // as after a crash between the append and the acknowledgement
	if err := rdb.HSet(t.Context(), rediskey.Counter(p, ch), "seq", 1, "epoch", "1-a").Err(); err != nil {
		t.Fatal(err)
	}
	serve(t, settings(t, pg.URL, rd.URL()))
	testkit.Until(t, testkit.Timeout, func() error {
		var got string
		if err := pool.QueryRow(t.Context(), `select coalesce(string_agg(seq || ' ' || id || ' ' || body, ', ' order by seq), '')
			from messages where channel_id = $1`, ch.UUID).Scan(&got); err != nil {
			return err
		}
		if want := fmt.Sprintf("1 %s first, 2 %s second", first.ID, second.ID); got != want {
			return fmt.Errorf("the log reads %q, want %q", got, want)
		}
		pending, err := rdb.XPending(t.Context(), rediskey.Stream(p), rediskey.ConsumerGroup).Result()
		if err != nil || pending.Count > 0 {
			return fmt.Errorf("%+v pending, %w", pending, err)
		}
		return nil
	})
	if n := rdb.XLen(t.Context(), rediskey.Dead(p)).Val(); n != 0 {
		t.Errorf("%d dead letters, want none", n)
	}
	if n := rdb.XLen(t.Context(), rediskey.Stream(p)).Val(); n != 4 {
		t.Errorf("%d entries, want 4: the event is appended again only once", n)
	}
}

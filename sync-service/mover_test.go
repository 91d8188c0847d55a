package syncservice_test

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
	syncservice "parley.chat/sync-service"
	"parley.chat/sync-service/internal/streamtest"
)

// TestMove_twoEventsAtOneSeq checks that both events are kept, and that the second one gets one new
// seq, no matter how often its entry is delivered.
func TestMove_twoEventsAtOneSeq(t *testing.T) {
	t.Parallel()
	w := streamtest.Open(t)
	ch := chat.NewChannelID()
	p := streamtest.Partition(ch)
	first, second := streamtest.Entry(t, streamtest.Message(ch, 1, "first")), streamtest.Entry(t, streamtest.Message(ch, 1, "second"))
	w.Append(first)
	w.Append(second)
	w.Append(second) // as after a crash between the append and the acknowledgement
	w.SetCounter(ch, 1)
	var cfg syncservice.Config
	w.Configure(&cfg)
	cfg.Addr = ""
	s, err := syncservice.New(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	streamtest.Serve(t, s)
	testkit.Until(t, testkit.Timeout, func() error {
		var got string
		if err := w.Pool.QueryRow(t.Context(), `select coalesce(string_agg(seq || ' ' || id || ' ' || body, ', ' order by seq), '')
			from messages where channel_id = $1`, ch.UUID).Scan(&got); err != nil {
			return err
		}
		if want := fmt.Sprintf("1 %s first, 2 %s second", first.ID, second.ID); got != want {
			return fmt.Errorf("the log reads %q, want %q", got, want)
		}
		pending, err := w.RDB.XPending(t.Context(), rediskey.Stream(p), rediskey.ConsumerGroup).Result()
		if err != nil || pending.Count > 0 {
			return fmt.Errorf("%+v pending, %w", pending, err)
		}
		return nil
	})
	if n := w.RDB.XLen(t.Context(), rediskey.Dead(p)).Val(); n != 0 {
		t.Errorf("%d dead letters, want none", n)
	}
	if n := w.RDB.XLen(t.Context(), rediskey.Stream(p)).Val(); n != 4 {
		t.Errorf("%d entries, want 4: the event is appended again only once", n)
	}
}

package client

import (
	"testing"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// TestRefused checks which refusals of a send are final, and which sends the other refusals delay,
// and for how long.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code  apierr.Code
		after time.Duration
		final bool
		all   bool // the pause applies to all targets
		wait  time.Duration
	}{
		{apierr.Forbidden, 0, true, false, 0},
		{apierr.Conflict, time.Second, true, false, 0},
		{apierr.TooLarge, 0, true, false, 0},
		{apierr.NotFound, 0, true, false, 0},
		{"a code of a later version", 0, true, false, 0},
		{apierr.RateLimited, 3 * time.Second, false, true, 3 * time.Second},
		{apierr.Overloaded, 2 * time.Second, false, false, 2 * time.Second},
		{apierr.Unavailable, 0, false, false, 700 * time.Millisecond}, // the jitter below
		{apierr.Internal, time.Millisecond, false, false, 10 * time.Millisecond},
	} {
		t.Run(string(tt.code), func(t *testing.T) {
			t.Parallel()
			c, err := New(Config{URL: "http://localhost", Tokens: StaticToken("x"), now: func() time.Time { return begun }, jitter: func(limit time.Duration) time.Duration {
				if limit != time.Second {
					t.Errorf("a random wait up to %v, want 1s", limit)
				}
				return 700 * time.Millisecond
			}})
			if err != nil {
				t.Fatal(err)
			}
			tea, milk := chat.NewChannelID(), chat.NewChannelID()
			it := newItem(outbound{Type: frame.Send, ChannelID: &tea, Body: new("x")})
			c.outbox.add(it)
			c.outbox.sent(it, &conn{}, begun, frame.Limits{})
			news := c.refusedLocked(it, &Error{Code: tt.code, RetryAfter: tt.after})
			if tt.final {
				if changes(news) != "0 failed" || len(c.outbox.items) != 0 || apierr.CodeOf(it.err) != apierr.CodeOf(&Error{Code: tt.code}) {
					t.Errorf("news %+v, %d items remain, %v", news, len(c.outbox.items), it.err)
				}
				return
			}
			if len(news) != 0 || len(c.outbox.items) != 1 || it.on != nil {
				t.Errorf("news %+v, %d items remain", news, len(c.outbox.items))
			}
			if got := c.outbox.pausedUntil(target{channel: tea}, begun).Sub(begun); got != tt.wait {
				t.Errorf("the channel waits %v, want %v", got, tt.wait)
			}
			if got := !c.outbox.pausedUntil(target{channel: milk}, begun).IsZero(); got != tt.all {
				t.Errorf("other channels wait: %v, want %v", got, tt.all)
			}
		})
	}
}

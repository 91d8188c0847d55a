package ratelimit_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/platform/config"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// takes takes n tokens one after another and returns how many were granted, with the last state and
// error.
func takes(t *testing.T, n int, uses []ratelimit.Use, limiters ...*ratelimit.Limiter) (granted int, last []ratelimit.State, err error) {
	t.Helper()
	for i := range n {
		last, err = limiters[i%len(limiters)].Take(t.Context(), uses...)
		switch {
		case err == nil:
			granted++
		case apierr.CodeOf(err) != apierr.RateLimited:
			t.Fatal(err)
		}
	}
	return granted, last, err
}

// TestTake_countsOverAllInstances checks that all instances share a limit, and that each kind and
// subject has a separate limit.
func TestTake_countsOverAllInstances(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	cfg := ratelimit.Config{Rates: ratelimit.Rates{
		Create: config.Rate{Count: 7, Per: time.Hour}, Join: config.Rate{Count: 1, Per: time.Hour}, Network: config.Rate{Count: 9, Per: time.Hour},
	}}
	one, two := start(t, s, cfg), start(t, s, cfg)
	ann, bob := chat.NewUserID(), chat.NewUserID()
	home, _ := ratelimit.From(netip.MustParseAddr("192.0.2.1"))

	n, left, err := takes(t, 20, []ratelimit.Use{ratelimit.By(ratelimit.Create, ann)}, one, two)
	if n != 7 || len(left) != 1 || left[0].Left != 0 || left[0].Rate.Count != 7 {
		t.Errorf("%d granted, %+v", n, left)
	}
	if want := `The rate limit "create" is used up (7 in 1 hour). Please try again later.`; apierr.Of(err).Message != want {
		t.Errorf("message %q, want %q", apierr.Of(err).Message, want)
	}
	wait := apierr.Of(err).RetryAfter
	if each := time.Hour / 7; wait <= each/2 || wait > each+time.Second || left[0].Reset != wait {
		t.Errorf("wait %s, reset %s, want about %s", wait, left[0].Reset, each)
	}
	if n, _, _ := takes(t, 2, []ratelimit.Use{ratelimit.By(ratelimit.Join, ann)}, one, two); n != 1 {
		t.Errorf("another kind: %d granted, want 1", n)
	}
	// Another user uses up the network's limit; the result reports both limits.
	n, _, err = takes(t, 20, []ratelimit.Use{home}, two)
	if n != 9 || err == nil {
		t.Errorf("the network: %d granted, %v", n, err)
	}
	left, err = one.Take(t.Context(), ratelimit.By(ratelimit.Create, bob), home)
	if apierr.CodeOf(err) != apierr.RateLimited || len(left) != 2 || left[0].Left != 6 || left[1].Kind != ratelimit.Network {
		t.Errorf("another user of the network: %+v, %v", left, err)
	}
	if left, err := one.Take(t.Context(), ratelimit.By(ratelimit.Profile, ann)); err != nil || left != nil {
		t.Errorf("a limit that is off: %+v, %v", left, err)
	}
	if _, err := one.Take(t.Context(), ratelimit.By(ratelimit.Message, ann)); err == nil {
		t.Error("Take took a message")
	}
}

// TestTake_withoutRedis checks that the limits apply within this process while Redis is down.
func TestTake_withoutRedis(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	l := start(t, s, ratelimit.Config{Rates: ratelimit.Rates{Create: config.Rate{Count: 5, Per: time.Hour}}})
	use := []ratelimit.Use{ratelimit.By(ratelimit.Create, chat.NewUserID())}
	takes(t, 1, use, l)
	s.Kill(t)
	n, left, err := takes(t, 8, use, l)
	if n != 5 || apierr.CodeOf(err) != apierr.RateLimited || apierr.Of(err).RetryAfter <= 0 || left[0].Reset != apierr.Of(err).RetryAfter {
		t.Errorf("%d granted while Redis is away, %+v, %v", n, left, err)
	}
}

// TestTake_local checks that local counts refill, and that their number is limited.
func TestTake_local(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New(nil, ratelimit.Config{Rates: ratelimit.Rates{Create: config.Rate{Count: 3, Per: 3 * time.Minute}}})
		use := []ratelimit.Use{ratelimit.By(ratelimit.Create, chat.NewUserID())}
		if n, _, _ := takes(t, 5, use, l); n != 3 {
			t.Errorf("%d granted, want 3", n)
		}
		time.Sleep(time.Minute)
		if n, _, _ := takes(t, 5, use, l); n != 1 {
			t.Errorf("%d granted a minute later, want 1", n)
		}
		time.Sleep(time.Hour)
		if n, _, _ := takes(t, 5, use, l); n != 3 {
			t.Errorf("%d granted an hour later, want 3", n)
		}
		for i := range ratelimit.MaxLocal + 1 {
			_, err := l.Take(t.Context(), ratelimit.By(ratelimit.Create, chat.NewUserID()))
			if full := i >= ratelimit.MaxLocal-1; full != (err != nil) {
				t.Fatalf("limit %d: %v", i+2, err)
			}
		}
		time.Sleep(time.Hour)
		if n, _, _ := takes(t, 1, use, l); n != 1 {
			t.Error("the counts that are whole again are not forgotten")
		}
	})
}

// TestReturn checks, with and without Redis, that a returned token can be taken again, and that a
// limit without a record has all its tokens.
func TestReturn(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	l := start(t, s, ratelimit.Config{Own: ratelimit.OwnRates{ratelimit.Guess: {Count: 4, Per: time.Hour}}})
	use := ratelimit.Use{Kind: ratelimit.Guess, Subject: "ann"}
	check := func(t *testing.T) {
		l.Return(t.Context(), use) // no effect, because the limit has all its tokens
		if n, _, _ := takes(t, 6, []ratelimit.Use{use}, l); n != 4 {
			t.Errorf("%d granted, want 4", n)
		}
		l.Return(t.Context(), use)
		if n, _, _ := takes(t, 3, []ratelimit.Use{use}, l); n != 1 {
			t.Errorf("%d granted after one was given back, want 1", n)
		}
		l.Forget(t.Context(), use)
		if n, _, _ := takes(t, 6, []ratelimit.Use{use}, l); n != 4 {
			t.Errorf("%d granted after the limit was forgotten, want 4", n)
		}
	}
	t.Run("with Redis", check)
	s.Kill(t)
	t.Run("without Redis", check)
}

// TestRates_everyKind checks that each setting is the limit for exactly one kind.
func TestRates_everyKind(t *testing.T) {
	var rates ratelimit.Rates
	v := reflect.ValueOf(&rates).Elem()
	kinds := []ratelimit.Kind{
		ratelimit.Create, ratelimit.Join, ratelimit.Rejoin, ratelimit.Members, ratelimit.Direct, ratelimit.Contact, ratelimit.Change,
		ratelimit.Profile, ratelimit.Session, ratelimit.Cursor, ratelimit.Network,
	}
	if v.NumField() != len(kinds) {
		t.Errorf("%d settings for %d kinds", v.NumField(), len(kinds))
	}
	for i, kind := range kinds {
		v.Field(i).Set(reflect.ValueOf(config.Rate{Count: i + 1, Per: time.Minute}))
		if rate, ok := rates.Of(kind); !ok || rate.Count != i+1 || !kind.Known() {
			t.Errorf("%s: %v, %v", kind, rate, ok)
		}
	}
}

func TestFrom(t *testing.T) {
	for _, tt := range []struct{ addr, want string }{
		{"192.0.2.7", "192.0.2.7"},
		{"::ffff:192.0.2.7", "192.0.2.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"fe80::1%eth0", "fe80::/64"},
	} {
		if use, ok := ratelimit.From(netip.MustParseAddr(tt.addr)); !ok || use.Subject != tt.want || use.Kind != ratelimit.Network {
			t.Errorf("From(%s) = %v, %v", tt.addr, use, ok)
		}
	}
	if _, ok := ratelimit.From(netip.Addr{}); ok {
		t.Error("an unknown address has a limit")
	}
	for addr, want := range map[string]string{
		"2001:db8:1:23ff::1": "[2001:db8:1:23ff::/64 2001:db8:1:2300::/56 2001:db8:1::/48]", "192.0.2.7": "[192.0.2.7/32 192.0.2.0/24]",
	} {
		if got := fmt.Sprint(ratelimit.Networks(netip.MustParseAddr(addr))); got != want {
			t.Errorf("Networks(%s) = %s, want %s", addr, got, want)
		}
	}
}

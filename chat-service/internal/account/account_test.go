package account

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/token"

	"parley.chat/chat-service/internal/avatar"
	"parley.chat/chat-service/internal/chattest"
	"parley.chat/chat-service/internal/httpapi"
	"parley.chat/chat-service/internal/password"
	"parley.chat/chat-service/internal/revoked"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	goodPassword  = "correct horse battery"
	otherPassword = "battery staple horse"
)

// home is a device for tests in which the device does not matter.
var home = device{userAgent: "test", address: netip.MustParseAddr("192.0.2.1")}

// noPictures refuses every picture.
type noPictures struct{}

func (noPictures) Fetch(context.Context, string) (avatar.Picture, error) {
	return avatar.Picture{}, fmt.Errorf("cannot be fetched")
}

// fixture is a Service without its HTTP API, with a real PostgreSQL and a real Redis.
type fixture struct {
	*Service
	*chattest.World
}

func newFixture(t testing.TB, attempts config.Rate, settings ...func(*Config)) *fixture {
	t.Helper()
	w := chattest.OpenWithRedis(t)
	key, err := token.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	cfg := Config{
		API: &httpapi.API{}, DB: w.DB, Log: w.Log, Hasher: newHasher(t, 1), Issuer: token.NewIssuer(key, time.Minute),
		Limits: ratelimit.New(w.RDB, ratelimit.Config{
			Partitions: chattest.Partitions, Logger: log,
			Own: Rates(config.Rate{Count: 1000, Per: time.Hour}, config.Rate{Count: 1000, Per: time.Hour}, attempts),
		}),
		Revoked: revoked.New(w.RDB, w.DB, chattest.Partitions, time.Minute, log), Poke: func() {}, Pictures: noPictures{}, Logger: log,
	}
	for _, set := range settings {
		set(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{s, w}
}

var noLimit = config.Rate{Count: 1_000_000, Per: time.Minute}

// newHasher returns a cheap Hasher, since these tests are not about hashing.
func newHasher(t testing.TB, passes int) *password.Hasher {
	t.Helper()
	h, err := password.New(password.Config{MemoryMiB: 1, Time: passes, Queue: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (f *fixture) register(name string) (*user, tokens) {
	f.T.Helper()
	u, t, err := f.signup(f.T.Context(), name, name+"@example.com", goodPassword, home)
	if err != nil {
		f.T.Fatal(err)
	}
	return u, t
}

func (f *fixture) mustLogIn(name, pass string, d device) tokens {
	f.T.Helper()
	_, t, err := f.login(f.T.Context(), name, pass, d)
	if err != nil {
		f.T.Fatalf("log in as %s: %v", name, err)
	}
	return t
}

// TestClean checks that housekeeping removes only the rows that expired longer ago than its limit.
func TestClean(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noLimit, func(c *Config) { c.RefreshTTL = 24 * time.Hour })
	ann, _ := f.register("ann")
	f.Exec("delete from sessions")
	f.Exec("delete from devices")
	id := ann.ID.String()
	for _, age := range []string{"23 hours", "25 hours"} {
		f.Exec(`insert into sessions (id, user_id, user_agent, created_at, last_used_at, expires_at)
			values (gen_random_uuid(), $1, $2::text, now() - interval '2 days', now() - interval '2 days', now() - $2::text::interval)`, id, age)
	}
	active := f.Text(`insert into sessions (id, user_id, user_agent, created_at, last_used_at, expires_at)
		values (gen_random_uuid(), $1, 'active', now(), now(), now() + interval '1 hour') returning id::text`, id)
	f.Exec(`insert into refresh_tokens (token_hash, session_id, used_at) values ('unused', $1, null),
		('23 hours', $1, now() - interval '23 hours'), ('25 hours', $1, now() - interval '25 hours')`, active)
	f.Exec(`insert into devices (token_hash, user_id, used_at) values
		('399 days', $1, now() - interval '399 days'), ('401 days', $1, now() - interval '401 days')`, id)
	f.Exec(`insert into reserved_names (digest, until) values
		(name_digest('past'), now() - interval '1 second'), (name_digest('future'), now() + interval '1 hour')`)
	if err := f.clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, tt := range map[string]struct{ query, want string }{
		"sessions":       {"select string_agg(user_agent, ', ' order by user_agent) from sessions", "23 hours, active"},
		"refresh tokens": {"select string_agg(convert_from(token_hash, 'UTF8'), ', ' order by token_hash) from refresh_tokens", "23 hours, unused"},
		"devices":        {"select string_agg(convert_from(token_hash, 'UTF8'), ', ') from devices", "399 days"},
		"reserved names": {"select string_agg(case digest when name_digest('future') then 'future' else 'past' end, ', ') from reserved_names", "future"},
	} {
		if got := f.Text(tt.query); got != tt.want {
			t.Errorf("%s = %q, want %q", what, got, tt.want)
		}
	}
}

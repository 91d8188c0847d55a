package revoked

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/chattest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// fixture is a deployment in which the users ann and bob have one session each.
type fixture struct {
	*Marks
	*chattest.World
	ann, bob   chat.UserID
	anns, bobs chat.SessionID
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	w := chattest.OpenWithRedis(t, "ann", "bob")
	return &fixture{
		New(w.RDB, w.DB, chattest.Partitions, time.Hour, slog.New(slog.DiscardHandler)), w,
		w.ID("ann"), w.ID("bob"), w.Session("ann"), w.Session("bob"),
	}
}

func (f *fixture) want(what string, user chat.UserID, session chat.SessionID, want bool) {
	f.T.Helper()
	ended, err := f.Ended(f.T.Context(), user, session)
	if err != nil || ended != want {
		f.T.Errorf("%s: ended = %v, %v; want %v", what, ended, err, want)
	}
}

// TestMarks checks that a mark ends one session of one user, and expires with the last access token
// of the session.
func TestMarks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.want("before the mark", f.ann, f.anns, false)
	second := chat.NewSessionID()
	if err := f.Set(t.Context(), f.ann, f.anns, second); err != nil {
		t.Fatal(err)
	}
	f.want("a marked session", f.ann, f.anns, true)
	f.want("the other marked session", f.ann, second, true)
	f.want("another user's session", f.bob, f.bobs, false)
	f.want("the marked session with another user", f.bob, f.anns, false)
	ttl, err := f.RDB.TTL(t.Context(), f.key(f.ann, f.anns)).Result()
	if err != nil || ttl > time.Hour || ttl < time.Hour-time.Minute {
		t.Errorf("the mark expires in %v, %v; want an hour", ttl, err)
	}
}

// TestEnded_redisDown checks that PostgreSQL decides while Redis does not respond, and for a while
// after that, because Redis may lack the marks for sessions that ended during the outage.
func TestEnded_redisDown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Redis.Kill(t)
	f.want("an active session", f.ann, f.anns, false)
	f.want("an active session with another user", f.bob, f.anns, true)
	f.want("a session without a row", f.ann, chat.NewSessionID(), true)
	f.Exec("update sessions set revoked_at = now() where id = $1", f.anns.String())
	f.want("an ended session", f.ann, f.anns, true)

	f.Redis.Start(t) // without a mark for the session
	f.want("an ended session, soon after Redis is back", f.ann, f.anns, true)
	f.failedAt.Store(time.Now().Add(-redisBackoff).UnixNano())
	f.want("an ended session without a mark, later", f.ann, f.anns, false)
	if err := f.Set(t.Context(), f.ann, f.anns); err != nil {
		t.Fatal(err)
	}
	f.want("a session that was marked later", f.ann, f.anns, true)
}

// TestEnded_noAnswer checks that a request fails if neither store responds, and that a canceled
// request does not count as a failure of Redis.
func TestEnded_noAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Ended(gone, f.ann, f.anns); err == nil {
		t.Error("a request that its client has given up got an answer")
	}
	if f.failedAt.Load() != 0 {
		t.Error("a request that its client has given up counts as a failure of Redis")
	}
	f.Redis.Kill(t)
	if err := f.DB.Close(); err != nil {
		t.Fatal(err)
	}
	if ended, err := f.Ended(t.Context(), f.ann, f.anns); err == nil {
		t.Errorf("ended = %v without an answer of a store", ended)
	}
}

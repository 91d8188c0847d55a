package account

import (
	"context"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// TestRefresh_race sends the same refresh token in several concurrent requests. One request gets
// new tokens, but the others cause these to be revoked, so a copied token is useless.
func TestRefresh_race(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noLimit)
	_, first := f.register("ann")
	const n = 8
	// The row stays locked until all requests are waiting for it.
	tx, err := f.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "select 1 from refresh_tokens for update"); err != nil {
		t.Fatal(err)
	}
	var pairs [n]tokens
	var errs [n]error
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { pairs[i], errs[i] = f.refresh(t.Context(), first.refresh) })
	}
	f.AwaitLocks(n)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	won := 0
	for i, err := range errs {
		if err != nil {
			f.WantCode("a repeated refresh", err, apierr.Unauthenticated)
			continue
		}
		won++
		_, err := f.refresh(t.Context(), pairs[i].refresh)
		f.WantCode("a refresh with the new token", err, apierr.Unauthenticated)
	}
	if won != 1 {
		t.Errorf("%d requests got new tokens, want 1", won)
	}
}

// TestEndAll_many checks that all sessions of a user end, no matter how many there are, with one
// revocation each, and that no other session ends.
func TestEndAll_many(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noLimit)
	ann, own := f.register("ann")
	_, bobs := f.register("bob")
	const many = 2*revocationsPerInsert + 1
	f.Exec(`insert into sessions (id, user_id, created_at, last_used_at, expires_at)
		select gen_random_uuid(), $1, now(), now(), now() + interval '1 hour' from generate_series(1, $2)`, ann.ID.String(), many)
	f.Exec(`insert into sessions (id, user_id, created_at, last_used_at, expires_at)
		values (gen_random_uuid(), $1, now() - interval '2 hours', now(), now() - interval '1 hour')`, ann.ID.String()) // has expired
	var ended []chat.SessionID
	err := f.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
		ended, err = endAll(ctx, tx, ann.ID, own.session)
		return err
	})
	if err != nil || len(ended) != many {
		t.Fatalf("%d sessions ended, %v; want %d", len(ended), err, many)
	}
	if n := f.Count("select count(distinct payload->>'session_id') from outbox where kind = 'session_revoked' and subject_id = $1", ann.ID.String()); n != many {
		t.Errorf("%d sessions have a revocation, want %d", n, many)
	}
	for name, session := range map[string]chat.SessionID{"the kept one": own.session, "another user's": bobs.session} {
		if n := f.Count("select count(*) from sessions where id = $1 and revoked_at is null", session.String()); n != 1 {
			t.Errorf("%s has ended", name)
		}
	}
}

// TestPassword_concurrentLogins checks that no session from a concurrent login with the old
// password survives the change.
func TestPassword_concurrentLogins(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noLimit)
	ann, own := f.register("ann")
	var wg sync.WaitGroup
	var logins [16]error
	for i := range logins {
		wg.Go(func() { _, _, logins[i] = f.login(t.Context(), "ann", goodPassword, home) })
	}
	var changed error
	wg.Go(func() {
		_, _, changed = f.changePassword(t.Context(), token.Claims{UserID: ann.ID, SessionID: own.session}, goodPassword, otherPassword, home)
	})
	wg.Wait()
	if changed != nil {
		t.Fatal(changed)
	}
	if n := f.Count("select count(*) from sessions where revoked_at is null"); n != 1 {
		t.Errorf("%d active sessions, want only the one of the change", n)
	}
	for _, err := range logins {
		if err != nil {
			f.WantCode("a concurrent login", err, apierr.InvalidCredentials)
		}
	}
}

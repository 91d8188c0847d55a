package account

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"parley.chat/internal/platform/names"
	"parley.chat/shared-contracts/apierr"
)

func TestCheckEmail(t *testing.T) {
	t.Parallel()
	for _, email := range []string{"a@example.com", "first.last+tag@sub.example.com", "\u00fcnal@example.com", "a@localhost", strings.Repeat("a", 242) + "@example.com"} {
		if err := checkEmail(email); err != nil {
			t.Errorf("%q: %v", email, err)
		}
	}
	for name, email := range map[string]string{
		"empty": "", "no @": "example.com", "no name": "@example.com", "no domain": "a@", "two addresses": "a@example.com, b@example.com",
		"display name": "Ann <a@example.com>", "angle brackets": "<a@example.com>", "comment": "a@example.com (Ann)", "quoted name": `"a b"@example.com`,
		"blank": "a b@example.com", "line feed": "a@example.com\nb", "NUL": "a\x00@example.com", "address literal": "a@[192.0.2.1]",
		"domain starts with a dot": "a@.example.com", "domain ends with a dot": "a@example.com.", "group": "us:a@example.com;",
		"one character too long": strings.Repeat("a", 243) + "@example.com", "invalid UTF-8": "a\xff@example.com",
	} {
		if err := checkEmail(email); err == nil {
			t.Errorf("%s: %q is accepted", name, email)
		}
	}
}

// TestSignup_concurrentSameName checks that only one of several concurrent signups gets a name.
func TestSignup_concurrentSameName(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noLimit)
	var errs [8]error
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			name := []string{"racer", "RACER"}[i%2]
			_, _, errs[i] = f.signup(t.Context(), name, fmt.Sprint(name, i, "@example.com"), goodPassword, home)
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			f.WantCode("a signup that lost the race", err, apierr.UsernameTaken)
		}
	}
	if users := f.Count("select count(*) from users"); won != 1 || users != 1 {
		t.Errorf("%d signups succeeded, %d users; want 1 and 1", won, users)
	}
}

// TestErasure_concurrentSignup checks that a signup that waits for the deletion of an account with
// the same name does not get the name.
func TestErasure_concurrentSignup(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noLimit)
	ann, _ := f.register("ann")
	tx, err := f.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	// Runs the statements of a deletion, but does not commit them yet.
	for _, sql := range []string{
		"update users set username = '~gone', lookalike = null, email = 'x@deleted.invalid', deleted_at = now() where id = '" + ann.ID.String() + "'",
		"insert into reserved_names values (name_digest('" + names.Key("ann") + "'), now() + interval '1 day')",
	} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, _, err := f.signup(context.Background(), "ann", "b@example.com", goodPassword, home)
		done <- err
	}()
	f.AwaitLocks(1)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.WantCode("the signup", <-done, apierr.UsernameTaken)
}

package account

import (
	"errors"
	"strings"
	"testing"
)

// TestSuspend_refuses checks that Suspend changes nothing if the reason or the user is invalid.
func TestSuspend_refuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noLimit)
	f.register("ann")
	gone, _ := f.register("gone")
	f.Exec("update users set deleted_at = now() where id = $1", gone.ID.String())
	for name, reason := range map[string]string{"too long": strings.Repeat("é", maxReasonChars+1), "invalid UTF-8": "a\xff"} {
		if _, err := Suspend(t.Context(), f.DB, "ann", reason); err == nil {
			t.Errorf("a reason that is %s was accepted", name)
		}
	}
	for _, name := range []string{"nobody", "gone", ""} {
		if _, err := Suspend(t.Context(), f.DB, name, "spam"); !errors.Is(err, ErrNoUser) {
			t.Errorf("Suspend(%q) = %v, want ErrNoUser", name, err)
		}
		if err := Restore(t.Context(), f.DB, name); !errors.Is(err, ErrNoUser) {
			t.Errorf("Restore(%q) = %v, want ErrNoUser", name, err)
		}
	}
	if n := f.Count("select count(*) from users where suspended_at is not null"); n != 0 {
		t.Errorf("%d users are suspended", n)
	}
	longest := strings.Repeat("é", maxReasonChars)
	if _, err := Suspend(t.Context(), f.DB, "ann", longest); err != nil {
		t.Errorf("the longest reason: %v", err)
	}
}

// TestSuspend_again checks that suspending a user again changes the reason but not the time.
func TestSuspend_again(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noLimit)
	f.register("ann")
	if ended, err := Suspend(t.Context(), f.DB, "ANN", "spam"); err != nil || ended != 1 {
		t.Fatalf("Suspend = %d, %v; want 1 session ended", ended, err)
	}
	f.Exec("update users set suspended_at = '2026-01-02 03:04:05Z'")
	if ended, err := Suspend(t.Context(), f.DB, "ann", "more spam"); err != nil || ended != 0 {
		t.Fatalf("the second Suspend = %d, %v; want no session ended", ended, err)
	}
	list, err := Suspensions(t.Context(), f.DB)
	if err != nil || len(list) != 1 || list[0].Reason != "more spam" || list[0].Since.UTC().Format("2006-01-02 15:04") != "2026-01-02 03:04" {
		t.Errorf("Suspensions = %+v, %v", list, err)
	}
}

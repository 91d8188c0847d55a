package chatservice_test

import (
	"fmt"
	"testing"

	"parley.chat/chat-service/internal/account"
	"parley.chat/internal/devkit/testkit"
)

// TestSuspension checks that a suspended user is refused everywhere, and that only a login with the
// right password reveals the suspension. Restoring the user restores the account but not its
// sessions.
func TestSuspension(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")

	ended, err := account.Suspend(t.Context(), w.DB, "ANN", "spam")
	if err != nil || ended != 1 {
		t.Fatalf("Suspend = %d, %v; want 1 session ended", ended, err)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if a := w.get("/v1/me", ann.Token); a.status != 401 {
			return fmt.Errorf("the access token of a suspended user: %d %s", a.status, a.body)
		}
		return nil
	})
	w.post("/v1/refresh", "", object{"refresh_token": ann.Refresh}).want(t, 401, "unauthenticated")
	for range 2 { // the refusal does not count as a failed login
		w.login("ann", goodPassword).want(t, 403, "account_suspended")
		w.login("ann", "wrong horse battery").want(t, 401, "invalid_credentials")
	}
	if a := w.get("/v1/me", bob.Token); a.status != 200 {
		t.Errorf("another user: %d", a.status)
	}

	if _, err := account.Suspend(t.Context(), w.DB, "ann", "spam, again"); err != nil {
		t.Errorf("suspending again: %v", err)
	}
	list, err := account.Suspensions(t.Context(), w.DB)
	if err != nil || len(list) != 1 || list[0].Username != "ann" || list[0].Reason != "spam, again" || list[0].Since.IsZero() {
		t.Errorf("Suspensions = %+v, %v", list, err)
	}
	if err := account.Restore(t.Context(), w.DB, "ann"); err != nil {
		t.Fatal(err)
	}
	w.get("/v1/me", ann.Token).want(t, 401, "unauthenticated")
	if a := w.login("ann", goodPassword); a.status != 200 {
		t.Errorf("login after the restore: %d %s", a.status, a.body)
	}
	if list, err := account.Suspensions(t.Context(), w.DB); err != nil || len(list) != 0 {
		t.Errorf("Suspensions after the restore = %+v, %v", list, err)
	}
	if err := account.Restore(t.Context(), w.DB, "nobody"); err == nil {
		t.Error("restoring an unknown user succeeded")
	}
}

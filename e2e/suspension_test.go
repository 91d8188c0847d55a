package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/devkit/testkit/wstest"
)

// TestSuspendedUser_connectionsClose checks that the command closes the user's connections to every
// gateway and ends their REST sessions, and that other users stay connected.
func TestSuspendedUser_connectionsClose(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	conns := []*wstest.Conn{ann.connect(w.ws[0]), ann.connect(w.ws[1])}
	command := func(args ...string) {
		t.Helper()
		p := proctest.Start(t, "chat-service", append([]string{"user"}, args...), map[string]string{"DATABASE_URL": w.chat.env["DATABASE_URL"]})
		if code := p.Wait(t, time.Minute); code != 0 {
			t.Fatalf("user %v: exit code %d: %s", args, code, p.Output())
		}
	}
	command("suspend", "ann", "--reason", "spam")
	for i, c := range conns {
		if code, why := c.AwaitClose(t); code != 4509 {
			t.Errorf("gateway %d closed with %d %q, want 4509", i, code, why)
		}
	}
	w.call(http.MethodGet, "/v1/me", ann.Token, nil, http.StatusUnauthorized, nil)
	w.call(http.MethodGet, "/v1/me", bob.Token, nil, http.StatusOK, nil)
	login := map[string]string{"login": "ann", "password": "correct horse ann", "session": "bearer"}
	w.call(http.MethodPost, "/v1/login", "", login, http.StatusForbidden, nil)
	command("restore", "ann")
	w.call(http.MethodPost, "/v1/login", "", login, http.StatusOK, nil)
}

package chatservice_test

import (
	"testing"

	"parley.chat/chat-service/internal/chattest"
)

// TestDatabase_defaults checks that unusual database defaults neither allow SQL injection nor break
// reads.
func TestDatabase_defaults(t *testing.T) {
	t.Parallel()
	stores := chattest.OpenWithRedis(t)
	name := stores.Text("select current_database()")
	for _, setting := range []string{"standard_conforming_strings = off", "DateStyle = 'SQL, DMY'", "TimeZone = 'Asia/Kolkata'", "client_encoding = 'LATIN1'"} {
		stores.Exec("alter database " + name + " set " + setting)
	}
	w := newWorldOn(t, stores)
	ann := w.signup("ann")
	if a := w.get("/v1/me", ann.Token); a.status != 200 {
		t.Errorf("/v1/me = %d %s", a.status, a.body)
	}
	// Without standard-conforming strings, a backslash would escape the quote that ends the
	// argument.
	w.login(`\`, goodPassword).want(t, 401, "invalid_credentials")
	w.login(`\' or true; update users set display_name = $$injected$$; --`, goodPassword).want(t, 401, "invalid_credentials")
	if n := w.Count("select count(*) from users where display_name = 'injected'"); n != 0 {
		t.Error("a login executed injected SQL")
	}
}

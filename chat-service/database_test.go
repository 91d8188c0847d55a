package chatservice_test

import (
	"testing"

	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-migrations/schematest"
)

// TestDatabase_defaults checks that unusual database defaults neither allow SQL injection nor break
// reads.
func TestDatabase_defaults(t *testing.T) {
	t.Parallel()
	db := schematest.Open(t)
	var name string
	pool := db.Pool(t)
	if err := pool.QueryRow(t.Context(), "select current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"standard_conforming_strings = off", "DateStyle = 'SQL, DMY'", "TimeZone = 'Asia/Kolkata'", "client_encoding = 'LATIN1'"} {
		if _, err := pool.Exec(t.Context(), "alter database "+name+" set "+setting); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorldOn(t, db, redistest.NewServer(t))
	ann := w.signup("ann")
	if a := w.get("/v1/me", ann.Token); a.status != 200 {
		t.Errorf("/v1/me = %d %s", a.status, a.body)
	}
	// Without standard-conforming strings, a backslash would escape the quote that ends the
	// argument.
	w.login(`\`, goodPassword).want(t, 401, "invalid_credentials")
	w.login(`\' or true; update users set display_name = $$injected$$; --`, goodPassword).want(t, 401, "invalid_credentials")
	if n := w.count("select count(*) from users where display_name = 'injected'"); n != 0 {
		t.Error("a login executed injected SQL")
	}
}

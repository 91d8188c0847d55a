package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-migrations/schematest"
)

// TestPostgres_refused checks that no program starts if the database or pooler cannot provide the
// sessions that it needs, and that the error message says what to change.
func TestPostgres_refused(t *testing.T) {
	t.Parallel()
	s := schematest.NewServer(t)
	if _, err := s.Pool(t).Exec(t.Context(), "create database latin encoding 'LATIN1' locale 'C' template template0"); err != nil {
		t.Fatal(err)
	}
	refused := map[string]string{"encoding is not UTF8": strings.Replace(s.URL, "/parley?", "/latin?", 1)}
	t.Run("pooler", func(t *testing.T) { // may skip the test
		everyProgramRefuses(t, "configure session pooling", s.Pooler(t, "transaction"))
	})
	for words, url := range refused {
		everyProgramRefuses(t, words, url)
	}
}

func everyProgramRefuses(t *testing.T, words, databaseURL string) {
	t.Helper()
	for program, addr := range map[string]string{"chat-service": "CHAT_ADDR", "ws-server": "WS_ADDR", "sync-service": "SYNC_ADDR", "standalone": "ADDR", "migrate": ""} {
		var args []string
		env := map[string]string{
			"DATABASE_URL": databaseURL, "REDIS_URL": "redis://127.0.0.1:1", "JWT_KEYS_DIR": t.TempDir(), "DATA_DIR": t.TempDir(), addr: "127.0.0.1:0",
		}
		if program == "migrate" {
			args = []string{"up"}
			delete(env, "")
		}
		p := proctest.Start(t, program, args, env)
		if code := p.Wait(t, testkit.Timeout); code != 1 || !strings.Contains(p.Output(), words) {
			t.Errorf("%s exits with %d, want 1 and %q:\n%s", program, code, words, p.Output())
		}
	}
}

// TestReady_schema checks that services without a schema wait and report that they are waiting. A
// gateway serves clients even without the schema.
func TestReady_schema(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t)
	r := redistest.NewServer(t)
	services := map[string]string{}
	for program, addrVar := range map[string]string{"chat-service": "CHAT_ADDR", "ws-server": "WS_ADDR", "sync-service": "SYNC_ADDR"} {
		addr := fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t))
		proctest.Start(t, program, nil, map[string]string{
			"DATABASE_URL": s.URL, "REDIS_URL": r.URL(), "JWT_KEYS_DIR": t.TempDir(), "JWKS_URL": "http://127.0.0.1:1", addrVar: addr,
		})
		services[program] = "http://" + addr + "/readyz"
	}
	want := func(words string, status map[string]int) {
		t.Helper()
		for program, url := range services {
			testkit.Until(t, testkit.Timeout, func() error {
				got, body, err := get(url)
				if err != nil || got != status[program] || !strings.Contains(body, words) {
					return fmt.Errorf("%s: %d %s %w; want %d and %q", program, got, body, err, status[program], words)
				}
				return nil
			})
		}
	}
	want("run migrate up to create the roles", map[string]int{"chat-service": 503, "sync-service": 503, "ws-server": 200})
	migrate := func(args ...string) {
		t.Helper()
		p := proctest.Start(t, "migrate", args, map[string]string{"DATABASE_URL": s.URL})
		if code := p.Wait(t, testkit.Timeout); code != 0 {
			t.Fatalf("migrate %v: %d %s", args, code, p.Output())
		}
	}
	migrate("up")
	want(`"status":"ok"`, map[string]int{"chat-service": 200, "sync-service": 200, "ws-server": 200})
	migrate("down", "1")
	want("this program needs", map[string]int{"chat-service": 503, "sync-service": 503, "ws-server": 200})
	migrate("up")
	want(`"status":"ok"`, map[string]int{"chat-service": 200, "sync-service": 200, "ws-server": 200})
}

// TestPooler_session checks that everything works behind PgBouncer with session pooling.
func TestPooler_session(t *testing.T) {
	t.Parallel()
	pooled := schematest.NewServer(t).Pooler(t, "session")
	w := newWorldWith(t, map[string]string{"DATABASE_URL": pooled, "DATABASE_MAX_CONNS": "3"})
	ann := w.signup("ann")
	channel := ann.createChannel("harbour", "public")
	conn := ann.connect(w.ws[0])
	conn.Send(t, map[string]any{"type": "send", "channel_id": channel, "client_id": "11111111-1111-4111-8111-111111111111", "body": "through a pooler"})
	conn.AwaitType(t, "ack")
	testkit.Until(t, testkit.Timeout, func() error {
		if got := ann.history(channel); len(got) != 1 || got[0].Body != "through a pooler" {
			return fmt.Errorf("history: %v", got)
		}
		return nil
	})
}

package chatservice_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	chatservice "parley.chat/chat-service"
	"parley.chat/chat-service/internal/chattest"
	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-migrations/schematest"
)

// TestPostgresDown checks that requests that need PostgreSQL get 503 quickly while it is down, and
// work again when it is back.
func TestPostgresDown(t *testing.T) {
	t.Parallel()
	server := schematest.NewServer(t)
	w := newWorldOn(t, chattest.On(t, &server.DB, redistest.NewServer(t)))
	ann := w.signup("ann")
	channel := w.create(ann, "general", "public")
	path := "/v1/channels/" + channel.ID.String()
	calls := []request{
		{method: "POST", path: "/v1/signup", body: object{"username": "bob", "email": "b@example.com", "password": goodPassword}},
		{method: "POST", path: "/v1/login", body: object{"login": "ann", "password": goodPassword}},
		{method: "POST", path: "/v1/refresh", body: object{"refresh_token": ann.Refresh}},
		{method: "GET", path: "/v1/me", token: ann.Token},
		{method: "GET", path: "/v1/channels", token: ann.Token},
		{method: "GET", path: path, token: ann.Token},
		{method: "POST", path: path + "/join", token: ann.Token},
		{method: "GET", path: path + "/messages", token: ann.Token},
		{method: "POST", path: "/v1/channels", token: ann.Token, body: object{"name": "second", "kind": "public"}},
	}
	server.Kill(t)
	start := time.Now()
	for _, r := range calls {
		a := w.send(r)
		a.want(t, http.StatusServiceUnavailable, "unavailable")
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: 503 without Retry-After", r.method, r.path)
		}
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("the responses took %v", took)
	}
	w.get("/v1/me", "garbage").want(t, 401, "unauthenticated") // tokens are verified without PostgreSQL
	server.Start(t)
	testkit.Until(t, testkit.Timeout, func() error {
		if a, err := w.try(request{method: "GET", path: path, token: ann.Token}); err != nil || a.status != 200 {
			return fmt.Errorf("%d %s, %w", a.status, a.body, err)
		}
		return nil
	})
}

// TestRedisDown checks that ended sessions and lists are read from PostgreSQL while Redis is down.
// History is unavailable, because it might lack acknowledged messages.
func TestRedisDown(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]struct {
		down, up func(*redistest.Server, testing.TB)
	}{
		"dead":  {(*redistest.Server).Kill, (*redistest.Server).Start},
		"hangs": {(*redistest.Server).Pause, (*redistest.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *chatservice.Config) { c.RequestTimeout = 20 * time.Second })
			ann := w.signup("ann")
			login := func() user {
				var in loginAnswer
				w.post("/v1/login", "", object{"login": "ann", "password": goodPassword, "session": "bearer"}).into(t, 200, &in)
				return w.userOf(in)
			}
			stolen, early := login(), login()
			channel := w.create(ann, "general", "public")
			w.Settled()
			path := "/v1/channels/" + channel.ID.String()
			end := func(session chat.SessionID) {
				t.Helper()
				if a := w.send(request{method: "DELETE", path: "/v1/sessions/" + session.String(), token: ann.Token}); a.status != 204 {
					t.Errorf("end a session = %d %s", a.status, a.body)
				}
			}
			end(early.Session)
			server.down(w.Redis, t)
			end(stolen.Session)
			for name, raw := range map[string]string{"before": early.Token, "during": stolen.Token} {
				if a := w.get("/v1/me", raw); a.status != http.StatusUnauthorized {
					t.Errorf("a session that ended %s the outage: %d %s", name, a.status, a.body)
				}
			}
			for _, r := range []request{
				{method: "POST", path: "/v1/login", body: object{"login": "ann", "password": goodPassword}},
				{method: "GET", path: "/v1/me", token: ann.Token},
				{method: "GET", path: "/v1/channels?mine=true", token: ann.Token},
				{method: "GET", path: path, token: ann.Token},
			} {
				if a := w.send(r); a.status != 200 {
					t.Errorf("%s %s = %d %s", r.method, r.path, a.status, a.body)
				}
			}
			w.get(path+"/messages", ann.Token).want(t, http.StatusServiceUnavailable, "unavailable")
			server.up(w.Redis, t)
			testkit.Until(t, testkit.Timeout, func() error {
				if a, err := w.try(request{method: "GET", path: path + "/messages", token: ann.Token}); err != nil || a.status != 200 {
					return fmt.Errorf("%d %s, %w", a.status, a.body, err)
				}
				return nil
			})
			w.get("/v1/me", stolen.Token).want(t, http.StatusUnauthorized, "unauthenticated")
		})
	}
}

// TestHashQueue checks that excess logins are refused instead of queued without limit.
func TestHashQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *chatservice.Config) {
		c.HashConcurrency, c.HashQueue, c.Argon2MemoryMiB, c.Argon2Time = 1, 1, 64, 4
	})
	const n = 12
	got := make(chan answer, n)
	for i := range n {
		go func() {
			a, err := w.try(request{method: "POST", path: "/v1/login", body: object{"login": fmt.Sprint("nobody-", i), "password": "wrong horse"}})
			if err != nil {
				t.Error(err)
			}
			got <- a
		}()
	}
	refused := 0
	for range n {
		a := <-got
		if a.status == http.StatusServiceUnavailable {
			a.want(t, 503, "overloaded")
			if a.header.Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
			refused++
		} else if a.status != 401 {
			t.Errorf("status %d %s", a.status, a.body)
		}
	}
	if refused == 0 || refused > n-2 {
		t.Errorf("%d of %d logins were refused", refused, n)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"parley.chat/client"
)

// issuer is a server that issues tokens and detects a refresh token that is used twice.
type issuer struct {
	mu    sync.Mutex
	n     int // number of the newest token
	reuse bool
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var in struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.URL.Path == "/v1/refresh" && in.Refresh != fmt.Sprint("refresh-", i.n) {
		i.reuse = true
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	i.n++
	_ = json.NewEncoder(w).Encode(map[string]any{ // fails only if the client has disconnected
		"user":         map[string]string{"id": "0198f3b2-7c00-7a10-8000-0000000000a1", "username": "Ann"},
		"access_token": fmt.Sprint("access-", i.n), "refresh_token": fmt.Sprint("refresh-", i.n), "expires_in": 600,
	})
}

// logIn starts a session that is stored in file.
func logIn(t *testing.T, server, file string) *kept {
	t.Helper()
	session, err := client.LogIn(t.Context(), server, "ann", "x")
	if err != nil {
		t.Fatal(err)
	}
	return keep(t.Context(), server, file, session, io.Discard)
}

// TestKept_shared checks that when several programs use one session at the same time, each refresh
// token is used only once, and all programs get the newest token.
func TestKept_shared(t *testing.T) {
	t.Parallel()
	i := &issuer{}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "parley", "ann.json")
	programs := []*kept{logIn(t, server.URL, file)}
	for range 7 {
		k, err := resume(server.URL, file, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, k)
	}
	const renewals = 5
	for n := range renewals {
		var wg sync.WaitGroup
		for _, k := range programs {
			wg.Go(func() {
				got, err := k.Token(t.Context(), fmt.Sprint("access-", n+1))
				if want := fmt.Sprint("access-", n+2); err != nil || got.Access != want {
					t.Errorf("renewal %d: %q, %v, want %q", n, got.Access, err, want)
				}
			})
		}
		wg.Wait()
	}
	if i.reuse || i.n != renewals+1 {
		t.Errorf("%d tokens were given, want %d; one was shown twice: %v", i.n, renewals+1, i.reuse)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
}

// TestKept_anotherLogin checks that a new login, which overwrites the file, does not affect the
// sessions of programs that are already running.
func TestKept_anotherLogin(t *testing.T) {
	t.Parallel()
	i := &issuer{}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "session.json")
	ann := logIn(t, server.URL, file)
	var said bytes.Buffer
	ann.warn = &said
	bob := &kept{server: server.URL, file: file, held: record{Login: "bob's", Credentials: client.Credentials{Refresh: "bob's"}}}
	bob.write()
	for n := range 2 {
		got, err := ann.Token(t.Context(), fmt.Sprint("access-", n+1))
		if want := fmt.Sprint("access-", n+2); err != nil || got.Access != want {
			t.Errorf("%q, %v, want %q", got.Access, err, want)
		}
	}
	var now record
	if err := bob.read(&now); err != nil || now.Refresh != "bob's" {
		t.Errorf("the file has %q, %v", now.Refresh, err)
	}
	if got := strings.Count(said.String(), "another login"); got != 1 {
		t.Errorf("it was printed %d times: %s", got, &said)
	}
}

// TestKept_ended checks that a program waiting for another program's renewal can be stopped.
func TestKept_ended(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(&issuer{})
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "session.json")
	k := logIn(t, server.URL, file)
	defer k.lock(t.Context())()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.Token(ctx, "access-1"); !errors.Is(err, context.Canceled) {
		t.Errorf("Token = %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	server := httptest.NewServer(&issuer{})
	t.Cleanup(server.Close)
	l := login{server: server.URL}
	if _, err := l.find(); !errors.Is(err, errNoSession) {
		t.Errorf("without any: %v", err)
	}
	ann, err := sessionFile(server.URL+"/", "Ann")
	if err != nil {
		t.Fatal(err)
	}
	logIn(t, server.URL, ann)
	if got, err := l.find(); got != ann || err != nil {
		t.Errorf("with one: %q, %v, want %q", got, err, ann)
	}
	bob, err := sessionFile(server.URL, "../bob")
	if err != nil || filepath.Dir(bob) != filepath.Dir(ann) {
		t.Fatalf("%q is not beside %q, %v", bob, ann, err)
	}
	if bob, err = sessionFile(server.URL, "bob"); err != nil {
		t.Fatal(err)
	}
	logIn(t, server.URL, bob)
	if _, err := l.find(); err == nil || !strings.Contains(err.Error(), "ann, bob") {
		t.Errorf("with two: %v", err)
	}
	l.kept = "BOB"
	if got, err := l.find(); got != bob || err != nil {
		t.Errorf("with two, of bob: %q, %v", got, err)
	}
	if other, err := sessionFile("http://elsewhere", "ann"); err != nil || other == ann {
		t.Errorf("two servers, one file: %q, %v", other, err)
	}
}

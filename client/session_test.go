package client_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
)

// TestChangePassword checks that the Session continues with the new tokens, and passes them to
// Renewed.
func TestChangePassword(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access := "of before"
		switch r.URL.Path {
		case "/v1/me/password":
			if r.Header.Get("Authorization") != "Bearer of before" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			access = "of the new session"
		case "/v1/sessions":
			if r.Method != http.MethodDelete || r.Header.Get("Authorization") != "Bearer of the new session" {
				w.WriteHeader(http.StatusUnauthorized)
			}
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": access, "refresh_token": "refresh " + access, "expires_in": 600})
	}))
	t.Cleanup(server.Close)
	s, err := client.LogIn(t.Context(), server.URL, "ann", "secret")
	if err != nil {
		t.Fatal(err)
	}
	var kept client.Credentials
	s.Renewed = func(c client.Credentials) { kept = c }
	if err := s.ChangePassword(t.Context(), "secret", "another secret"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Token(t.Context(), "of before"); err != nil || got.Access != "of the new session" || kept.Refresh != "refresh of the new session" {
		t.Errorf("token %+v, %v; stored %+v", got, err, kept)
	}
	if err := s.EndOtherSessions(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLogInAgain checks that a login sends the device token from the previous login, even after a
// renewal, whose response contains none.
func TestLogInAgain(t *testing.T) {
	t.Parallel()
	var shown []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := map[string]any{"access_token": "access", "refresh_token": "refresh", "expires_in": 600}
		if r.URL.Path == "/v1/login" {
			var in struct {
				Device string `json:"device_token"`
			}
			_ = json.NewDecoder(r.Body).Decode(&in) // no body means no token
			shown = append(shown, in.Device)
			out["device_token"] = in.Device + "x"
		}
		_ = json.NewEncoder(w).Encode(out) // fails only if the client has disconnected
	}))
	t.Cleanup(server.Close)
	first, err := client.LogIn(t.Context(), server.URL, "ann", "secret")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Token(t.Context(), "access"); err != nil {
		t.Fatal(err)
	}
	second, err := client.LogInAgain(t.Context(), server.URL, "ann", "secret", first.Credentials())
	if err != nil {
		t.Fatal(err)
	}
	if len(shown) != 2 || shown[0] != "" || shown[1] != "x" || second.Credentials().Device != "xx" {
		t.Errorf("device tokens shown: %q, stored %q", shown, second.Credentials().Device)
	}
}

func TestRenewIn(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for left, want := range map[time.Duration]time.Duration{
		15 * time.Minute: 14 * time.Minute,
		30 * time.Second: 20 * time.Second,
		-time.Second:     time.Second,
	} {
		if got := client.RenewIn(client.Token{Expires: now.Add(left)}, now); got != want {
			t.Errorf("%v left: renewed in %v, want %v", left, got, want)
		}
	}
	if got := client.RenewIn(client.Token{}, now); got != 0 {
		t.Errorf("a token without an end is renewed in %v", got)
	}
}

// refresher is a server that issues access tokens and refresh tokens numbered from 1, and accepts
// each refresh token once.
type refresher struct {
	mu       sync.Mutex
	n        int
	seconds  int // lifetime of the access tokens
	requests []string
}

func (r *refresher) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := map[string]string{}
	_ = json.NewDecoder(req.Body).Decode(&in) // no body has no fields
	r.requests = append(r.requests, fmt.Sprint(req.URL.Path, " ", in))
	if req.URL.Path != "/v1/signup" && req.URL.Path != "/v1/login" && in["refresh_token"] != fmt.Sprint("refresh-", r.n) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	r.n++
	_ = json.NewEncoder(w).Encode(map[string]any{ // fails only if the client has disconnected
		"user":         map[string]string{"id": user.String(), "username": "Ann"},
		"access_token": fmt.Sprint("access-", r.n), "refresh_token": fmt.Sprint("refresh-", r.n), "expires_in": r.seconds,
	})
}

// TestSession_renewsOnce checks that one refresh serves all waiting callers, because a refresh
// token can be used only once. The new credentials are stored before they are used.
func TestSession_renewsOnce(t *testing.T) {
	t.Parallel()
	issuer := &refresher{seconds: 600}
	server := httptest.NewServer(issuer)
	t.Cleanup(server.Close)
	s, err := client.SignUp(t.Context(), server.URL, "ann", "ann@example.test", "secret")
	if err != nil {
		t.Fatal(err)
	}
	if u := s.User(); u.Username != "Ann" || u.ID != user {
		t.Errorf("signed up as %+v", u)
	}
	var mu sync.Mutex
	var kept []string
	s.Renewed = func(c client.Credentials) {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, c.Refresh)
	}
	if got, err := s.Token(t.Context(), ""); err != nil || got.Access != "access-1" {
		t.Errorf("a token that is valid: %+v, %v", got, err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := s.Token(t.Context(), "access-1")
			mu.Lock()
			defer mu.Unlock()
			if err != nil || got.Access != "access-2" || len(kept) != 1 || kept[0] != "refresh-2" {
				t.Errorf("%+v, %v; stored %v", got, err, kept)
			}
			if left := time.Until(got.Expires); left < 9*time.Minute || left > 10*time.Minute {
				t.Errorf("the token is valid for %v, want 10 minutes", left)
			}
		})
	}
	wg.Wait()
	want := "[/v1/signup map[email:ann@example.test password:secret session:bearer username:ann] /v1/refresh map[refresh_token:refresh-1]]"
	if fmt.Sprint(issuer.requests) != want {
		t.Errorf("requests\n %v, want\n %s", issuer.requests, want)
	}
}

// TestSession_expired checks that an expired token is renewed before it is used, even in a session
// that an earlier run has stored.
func TestSession_expired(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(&refresher{n: 4, seconds: 600})
	t.Cleanup(server.Close)
	for i, kept := range []client.Credentials{
		{Access: "access-4", Expires: time.Now().Add(-time.Second), Refresh: "refresh-4"},
		{Expires: time.Now().Add(time.Hour), Refresh: "refresh-5"}, // no access token
	} {
		s, err := client.Resume(server.URL, kept)
		if err != nil {
			t.Fatal(err)
		}
		access, refresh := fmt.Sprint("access-", i+5), fmt.Sprint("refresh-", i+5)
		if got, err := s.Token(t.Context(), "another"); err != nil || got.Access != access || s.Credentials().Refresh != refresh {
			t.Errorf("%+v becomes %+v, %v, want %s", kept, got, err, access)
		}
	}
}

// TestSession_ended checks that the refusal of a refresh token is final, and that the stored
// credentials are not changed.
func TestSession_ended(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(&refresher{n: 4})
	t.Cleanup(server.Close)
	kept := client.Credentials{Access: "access-3", Refresh: "refresh-3", Device: "device"}
	s, err := client.Resume(server.URL, kept)
	if err != nil {
		t.Fatal(err)
	}
	s.Renewed = func(c client.Credentials) { t.Errorf("stored: %+v", c) }
	_, err = s.Token(t.Context(), "")
	if final, _, _ := client.Judge(err); apierr.CodeOf(err) != apierr.Unauthenticated || !final {
		t.Errorf("Token = %v, final %v", err, final)
	}
	if s.Credentials() != kept {
		t.Errorf("the credentials are now %+v", s.Credentials())
	}
	if _, err := client.Resume("ws://x", kept); err == nil {
		t.Error("a session at a server that is not a URL is accepted")
	}
}

// TestSession_logOut checks that the logout request contains the session's newest refresh token.
func TestSession_logOut(t *testing.T) {
	t.Parallel()
	issuer := &refresher{seconds: 600}
	server := httptest.NewServer(issuer)
	t.Cleanup(server.Close)
	s, err := client.LogIn(t.Context(), server.URL, "ann", "secret")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Token(t.Context(), "access-1"); err != nil {
		t.Fatal(err)
	}
	if err := s.LogOut(t.Context()); err != nil {
		t.Error(err)
	}
	if got := issuer.requests[len(issuer.requests)-1]; got != "/v1/logout map[refresh_token:refresh-2]" {
		t.Errorf("the last request is %s", got)
	}
}

// TestStaticToken checks that the session ends when a token that cannot be renewed is refused.
func TestStaticToken(t *testing.T) {
	t.Parallel()
	token := client.StaticToken("x")
	if got, err := token.Token(t.Context(), "another"); err != nil || got.Access != "x" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := token.Token(t.Context(), "x"); apierr.CodeOf(err) != apierr.Unauthenticated || got.Access != "" {
		t.Errorf("refused: %+v, %v", got, err)
	}
}

package client_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"parley.chat/client"
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

// TestLogInAgain checks that a login sends the device token of the previous login, also after a
// renewal, which returns none.
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
		_ = json.NewEncoder(w).Encode(out) // an error means that the client is gone
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

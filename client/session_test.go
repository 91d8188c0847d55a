package client_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"parley.chat/client"
)

// TestLogInAgain: a login shows the device token of the login before, also after a renewal, which gives none.
func TestLogInAgain(t *testing.T) {
	t.Parallel()
	var shown []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := map[string]any{"access_token": "access", "refresh_token": "refresh", "expires_in": 600}
		if r.URL.Path == "/v1/login" {
			var in struct {
				Device string `json:"device_token"`
			}
			_ = json.NewDecoder(r.Body).Decode(&in) // no body is no token
			shown = append(shown, in.Device)
			out["device_token"] = in.Device + "x"
		}
		_ = json.NewEncoder(w).Encode(out) // a client that is gone does not matter
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

package chatservice_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"parley.chat/internal/platform/config"

	chatservice "parley.chat/chat-service"
)

// behindProxy makes the service trust X-Forwarded-For, so that a test can send requests from any
// address.
func behindProxy(c *chatservice.Config) {
	c.Proxies = config.CIDRs{netip.MustParsePrefix("127.0.0.0/8")}
}

// loginFrom sends a login from an address, with a device token unless device is "".
func (w *world) loginFrom(address, name, pass, device string) answer {
	w.T.Helper()
	body := object{"login": name, "password": pass, "session": "bearer"}
	if device != "" {
		body["device_token"] = device
	}
	return w.send(request{method: "POST", path: "/v1/login", body: body, header: map[string]string{"X-Forwarded-For": address}})
}

// guesses sends wrong passwords for a login name, 10 from each of n addresses.
func (w *world) guesses(name string, n int) {
	w.T.Helper()
	for i := range n {
		for range 10 {
			w.loginFrom(fmt.Sprintf("198.51.100.%d", i+1), name, "wrong horse", "").want(w.T, 401, "invalid_credentials")
		}
	}
}

// TestLogin_guessesFromOtherNetworks checks that wrong passwords from one network lock out only
// that network. Wrong passwords from many networks lock out neither a known device of the owner nor
// an existing session.
func TestLogin_guessesFromOtherNetworks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, behindProxy, func(c *chatservice.Config) { c.LoginFailuresAll = config.Rate{Count: 30, Per: time.Hour} })
	ann := w.signup("ann")
	w.guesses("ann", 1)
	a := w.loginFrom("198.51.100.1", "ann", goodPassword, "")
	if a.want(t, 429, "rate_limited"); a.header.Get("Retry-After") == "" || a.header.Get("Retry-After") == "0" {
		t.Errorf("Retry-After = %q", a.header.Get("Retry-After"))
	}
	var in struct {
		loginAnswer
		Device string `json:"device_token"`
	}
	w.loginFrom("192.0.2.1", "ann", goodPassword, "").into(t, 200, &in)
	known := in.Device

	for i := range 20 { // the first network has already used 10 of the 30 attempts
		w.loginFrom(fmt.Sprintf("203.0.113.%d", i), "ann", "wrong horse", "").want(t, 401, "invalid_credentials")
	}
	w.loginFrom("192.0.2.1", "ann", goodPassword, "").want(t, 429, "rate_limited")
	w.loginFrom("192.0.2.1", "ann", goodPassword, "made-up").want(t, 429, "rate_limited")
	w.loginFrom("198.51.100.1", "ann", goodPassword, known).into(t, 200, &in)
	if in.Device == known || in.Device == "" {
		t.Errorf("the device token is %q after %q, want a new one", in.Device, known)
	}
	w.loginFrom("192.0.2.1", "ann", goodPassword, known).want(t, 429, "rate_limited") // the token was replaced

	// The earlier session can still change the password and delete the account.
	fresh := "another horse battery"
	if a := w.post("/v1/me/password", ann.Token, object{"password": goodPassword, "new_password": fresh}); a.status >= 300 {
		t.Errorf("change = %d %s", a.status, a.body)
	}
}

// TestLogin_guessesFromKnownDevice checks that a device token does not circumvent the limits.
func TestLogin_guessesFromKnownDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, behindProxy)
	w.signup("ann")
	w.signup("bob")
	var in struct {
		Device string `json:"device_token"`
	}
	w.loginFrom("192.0.2.1", "ann", goodPassword, "").into(t, 200, &in)
	for i := range 10 {
		w.loginFrom(fmt.Sprintf("198.51.100.%d", i), "ann", "wrong horse", in.Device).want(t, 401, "invalid_credentials")
	}
	w.loginFrom("192.0.2.2", "ann", goodPassword, in.Device).want(t, 429, "rate_limited")
	if a := w.loginFrom("192.0.2.1", "ann", goodPassword, ""); a.status != 200 {
		t.Errorf("another device: %d %s", a.status, a.body)
	}
	// For bob the device is unknown until he has logged in from it.
	for range 10 {
		w.loginFrom("192.0.2.1", "bob", "wrong horse", in.Device).want(t, 401, "invalid_credentials")
	}
	w.loginFrom("192.0.2.1", "bob", goodPassword, in.Device).want(t, 429, "rate_limited")
}

// TestLogin_knownBrowser checks that a browser keeps its device token after a logout.
func TestLogin_knownBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t, behindProxy, func(c *chatservice.Config) { c.LoginFailuresAll = config.Rate{Count: 20, Per: time.Hour} })
	page := w.browser()
	login := func(pass string) answer {
		return w.send(request{method: "POST", path: "/v1/login", client: page, body: object{"login": "ann", "password": pass}})
	}
	if a := w.send(request{method: "POST", path: "/v1/signup", client: page, body: object{"username": "ann", "email": "ann@example.com", "password": goodPassword}}); a.status != 201 {
		t.Fatalf("signup = %d %s", a.status, a.body)
	}
	if a := w.send(request{method: "POST", path: "/v1/logout", client: page}); a.status != 204 {
		t.Fatalf("logout = %d %s", a.status, a.body)
	}
	w.guesses("ann", 2)
	w.login("ann", goodPassword).want(t, 429, "rate_limited")
	login("wrong horse").want(t, 401, "invalid_credentials")
	if a := login(goodPassword); a.status != 200 || strings.Contains(string(a.body), "device_token") {
		t.Errorf("login from the browser that signed up: %d %s", a.status, a.body)
	}
}

// TestLogin_limitsDoNotLinkNames checks that using up the limits for a username reveals nothing
// about an email address, and vice versa. The response is the same for the account's own address
// and for any other address.
func TestLogin_limitsDoNotLinkNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, behindProxy, func(c *chatservice.Config) { c.LoginFailuresAll = config.Rate{Count: 20, Per: time.Hour} })
	for _, name := range []string{"ann", "bob", "eve"} {
		w.signup(name)
	}
	w.guesses("ann", 2)
	for _, login := range []string{"ann", "ANN"} {
		w.loginFrom("192.0.2.1", login, "wrong horse", "").want(t, 429, "rate_limited")
	}
	for _, email := range []string{"ann@example.com", "bob@example.com", "nobody@example.com"} {
		w.loginFrom("198.51.100.1", email, "wrong horse", "").want(t, 401, "invalid_credentials")
	}
	w.guesses("eve@example.com", 2)
	w.loginFrom("192.0.2.1", "EVE@example.com", "wrong horse", "").want(t, 429, "rate_limited")
	for _, name := range []string{"eve", "bob", "nobody"} {
		w.loginFrom("198.51.100.1", name, "wrong horse", "").want(t, 401, "invalid_credentials")
	}
	// Names that do not exist have the same limits.
	w.guesses("ghost", 1)
	w.loginFrom("198.51.100.1", "Ghost", "wrong horse", "").want(t, 429, "rate_limited")
}

// TestLogin_limitsWithoutRedis checks that wrong passwords are counted while Redis is down.
func TestLogin_limitsWithoutRedis(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.signup("ann")
	w.Redis.Kill(t)
	for range 10 {
		w.login("ann", "wrong horse").want(t, 401, "invalid_credentials")
	}
	w.login("ann", goodPassword).want(t, 429, "rate_limited")
}

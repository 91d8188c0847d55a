package browser

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// request creates a request with headers, given as "Name: value".
func request(method, host string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "/ws", http.NoBody)
	r.Host = host
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

const overHTTPS = "X-Forwarded-Proto: https"

func TestOverHTTPS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, host string
		headers    []string
		want       bool
	}{
		{"plain", "chat.example", nil, false},
		{"a proxy says so", "chat.example", []string{overHTTPS}, true},
		{"several proxies", "localhost", []string{"X-Forwarded-Proto: HTTPS, http"}, true},
		{"the last proxy alone has https", "chat.example", []string{"X-Forwarded-Proto: http, https"}, false},
		{"the browser gives it away", "chat.example:443", []string{"X-Forwarded-Proto: http", "Sec-Fetch-Site: same-origin"}, true},
		{"a browser on this machine", "localhost:8080", []string{"Sec-Fetch-Site: same-origin"}, false},
	} {
		if got := OverHTTPS(request("GET", tt.host, tt.headers...)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestAccessToken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		headers  []string
		raw      string
		byCookie bool
		err      error
	}{
		{"none", nil, "", false, nil},
		{"header", []string{"Authorization: Bearer a"}, "a", false, nil},
		{"lower case", []string{"Authorization: bearer a"}, "a", false, nil},
		{"upper case", []string{"Authorization: BEARER   a "}, "a", false, nil},
		{"another scheme", []string{"Authorization: Basic a"}, "", false, nil},
		{"a scheme that begins alike", []string{"Authorization: Bearers a"}, "", false, nil},
		{"cookie", []string{"Cookie: access_token=c", "Authorization: Bearer a"}, "c", true, nil},
		{"empty cookie", []string{"Cookie: access_token=", "Authorization: Bearer a"}, "a", false, nil},
		{"both names", []string{"Cookie: access_token=tossed; __Host-access_token=c"}, "c", true, nil},
		{"https", []string{overHTTPS, "Cookie: access_token=tossed; __Host-access_token=c"}, "c", true, nil},
		{"https that a proxy has taken off", []string{"Sec-Fetch-Site: same-origin", "Cookie: access_token=tossed"}, "", false, nil},
		{"https, plain name only", []string{overHTTPS, "Cookie: access_token=tossed"}, "", false, nil},
		{"two", []string{"Cookie: access_token=c; access_token=d"}, "", true, ErrTwoCookies},
		{"two, alike", []string{"Cookie: access_token=c", "Cookie: access_token=c"}, "", true, ErrTwoCookies},
		{"two of the safe name", []string{overHTTPS, "Cookie: __Host-access_token=c; __Host-access_token=d"}, "", true, ErrTwoCookies},
		{"two and a header", []string{"Cookie: access_token=c; access_token=d", "Authorization: Bearer a"}, "", true, ErrTwoCookies},
		{"two of a name that does not count", []string{overHTTPS, "Cookie: access_token=c; access_token=d", "Authorization: Bearer a"}, "a", false, nil},
	} {
		raw, byCookie, err := AccessToken(request("GET", "chat.example", tt.headers...))
		if raw != tt.raw || byCookie != tt.byCookie || !errors.Is(err, tt.err) || tt.err == nil && err != nil {
			t.Errorf("%s: %q, %v, %v; want %q, %v, %v", tt.name, raw, byCookie, err, tt.raw, tt.byCookie, tt.err)
		}
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://app.example.com":                          "https://app.example.com",
		" HTTPS://App.Example.COM:443 , http://a:80,":      "https://app.example.com,http://a",
		"http://localhost:5173,https://a:80,http://a:443":  "http://localhost:5173,https://a:80,http://a:443",
		"http://[::1],http://[0:0::1]:0008080":             "http://[::1],http://[::1]:8080",
		"https://xn--bcher-kva.example,http://192.0.2.7:1": "https://xn--bcher-kva.example,http://192.0.2.7:1",
		"": "",
	} {
		var o Origins
		if err := o.UnmarshalText([]byte(in)); err != nil || o.String() != want {
			t.Errorf("%q: %q, %v; want %q", in, o, err, want)
		}
	}
	for _, bad := range []string{
		"https://x/", "https://x/app", "https://x?", "https://x#", "https://x?a", "https://a@x", "*", "https://*", "https://*.example.com",
		"null", "x", "app.example.com", "example.com/path", "//x", "ftp://x", "https://", "https://:1", "https://x:", "https://x:0", "https://x:65536", "https://x:y",
		"https://bücher.example", "https://a b", "https://[::1", "https://a,https://b/",
	} {
		var o Origins
		if err := o.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is read as %q", bad, o)
		}
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	g, err := NewGuard(Origins{"https://app.example", "http://localhost:5173"})
	if err != nil {
		t.Fatal(err)
	}
	const host = "chat.example"
	for _, tt := range []struct {
		name             string
		host             string
		headers          []string
		upgrade, request bool // whether the request is accepted
	}{
		{"no browser", host, nil, true, true},
		{"our page", host, []string{"Origin: https://chat.example", overHTTPS}, true, true},
		{"our page, with the default port", "chat.example:443", []string{"Origin: https://chat.example", overHTTPS, "Sec-Fetch-Site: same-origin"}, true, true},
		{"our page, TLS taken off in silence", host, []string{"Origin: https://chat.example"}, true, true},
		{"our page over http", host, []string{"Origin: http://chat.example"}, true, true},
		{"another scheme", host, []string{"Origin: http://chat.example", overHTTPS}, false, false},
		{"another port", host, []string{"Origin: https://chat.example:8443", overHTTPS}, false, false},
		{"a page that may", host, []string{"Origin: https://app.example", overHTTPS, "Sec-Fetch-Site: same-site"}, true, true},
		{"a page that may, over http", host, []string{"Origin: http://localhost:5173", overHTTPS, "Sec-Fetch-Site: cross-site"}, true, true},
		{"a page that may, by another scheme", host, []string{"Origin: http://app.example", overHTTPS}, false, false},
		{"another page", host, []string{"Origin: https://evil.example", overHTTPS}, false, false},
		{"a page of nowhere", host, []string{"Origin: null", overHTTPS}, false, false},
	} {
		if err := g.CheckUpgrade(request("GET", tt.host, tt.headers...)); (err == nil) != tt.upgrade {
			t.Errorf("%s: upgrade: %v, want it to pass: %v", tt.name, err, tt.upgrade)
		}
		if err := g.CheckRequest(request("POST", tt.host, tt.headers...)); (err == nil) != tt.request {
			t.Errorf("%s: request: %v, want it to pass: %v", tt.name, err, tt.request)
		}
		if err := g.CheckRequest(request("GET", tt.host, tt.headers...)); err != nil {
			t.Errorf("%s: a read: %v", tt.name, err)
		}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	var h Hosts
	if !h.Serves("anything") {
		t.Error("no hosts are any host")
	}
	if err := h.UnmarshalText([]byte("Chat.Example, 192.0.2.7,[::1], localhost")); err != nil || h.String() != "chat.example,192.0.2.7,::1,localhost" {
		t.Fatalf("%v, %v", h, err)
	}
	for host, want := range map[string]bool{
		"chat.example": true, "CHAT.example:8080": true, "chat.example.": true, "192.0.2.7:1": true, "[::1]:8080": true, "[0:0::1]": true, "localhost": true,
		"evil.example": false, "chat.example.evil.example": false, "192.0.2.8": false, "": false, "x.localhost": false,
	} {
		if h.Serves(host) != want {
			t.Errorf("%q is served: %v, want %v", host, !want, want)
		}
	}
	for _, bad := range []string{"https://chat.example", "chat.example:80", "chat.example/", "*", "*.example", "bücher.example", "a b"} {
		if err := new(Hosts).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST:8080": true, "app.localhost": true, "127.0.0.1:1": true, "127.9.9.9": true, "[::1]:8080": true, "::1": true,
		"chat.example": false, "192.0.2.7:80": false, "localhost.evil.example": false, "": false,
	} {
		if Loopback(host) != want {
			t.Errorf("%q is loopback: %v, want %v", host, !want, want)
		}
	}
}

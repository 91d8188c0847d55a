package config_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"parley.chat/internal/platform/config"
)

// No matter how a URL with a password is malformed, the error must not show the password.
func TestParseURL_hidesTheValue(t *testing.T) {
	for _, bad := range []string{
		"redis://user:p%zzhunter2@host", "redis://user:hunter2%@host", "redis://user:hunter2/x%zz@host:1",
		"redis://:hunter2#more@host", "redis://user:hunter2/more@host", "redis://us:hunter2?more@host",
		"redis://user:hun ter2@ho st", "redis://user:hunter2\x01@host", "hunter2", ":hunter2", "user:hunter2@host", "hunter2://host", "://hunter2",
		"redis://user:hunter2@[::1", "redis://user:hunter2@host:port", "",
	} {
		u, err := config.ParseURL(bad, "redis", "rediss")
		if err == nil {
			// net/url accepts this; the host is then the beginning of the password, and is rejected
			// elsewhere.
			t.Logf("%q is a URL of host %q", bad, u.Host)
			continue
		}
		for _, piece := range []string{"hunter2", "hun", "more", "zz"} {
			if strings.Contains(err.Error(), piece) {
				t.Errorf("ParseURL(%q) = %q: it shows %q", bad, err, piece)
			}
		}
	}
	if _, err := config.ParseURL("redis://user:p%zz@host", "redis"); err == nil || !strings.Contains(err.Error(), "percent escape") {
		t.Errorf("%v; want it to name the escape", err)
	}
	if u, err := config.ParseURL("rediss://a:b@h:1/2", "redis", "rediss"); err != nil || u.Host != "h:1" {
		t.Errorf("%v, %v", u, err)
	}
}

func TestPublicURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://token@host:8080/keys?key=hunter2#x": "https://host:8080/keys",
		"https://user:hunter2@host":                  "https://host",
		"https://user:p%zz@host":                     "(hidden)",
		"hunter2":                                    "(hidden)",
	} {
		if got := config.PublicURL(in); got != want {
			t.Errorf("PublicURL(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestWithoutURL(t *testing.T) {
	cause := errors.New("connection refused")
	err := config.WithoutURL(fmt.Errorf("fetch: %w", &url.Error{Op: "Get", URL: "https://token@host", Err: cause}))
	if !errors.Is(err, cause) || strings.Contains(err.Error(), "token") {
		t.Errorf("%v", err)
	}
	if config.WithoutURL(cause) != cause {
		t.Error("another error is changed")
	}
}

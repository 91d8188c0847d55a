package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestRun_help(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, func(string) string { return "" }, &out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"CHAT_ADDR", "DATABASE_URL", "REDIS_URL", "JWT_KEYS_DIR", "PUBLIC_ORIGINS", "TRUSTED_PROXIES", "COOKIE_SECURE", "STREAM_PARTITIONS", "LOG_LEVEL"} {
		if !strings.Contains(out.String(), name) {
			t.Errorf("--help lacks %s:\n%s", name, out.String())
		}
	}
}

func TestRun_badSettings(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"STREAM_PARTITIONS": "many", "COOKIE_SECURE": "perhaps", "TRUSTED_PROXIES": "10.0.0.0/99", "LOGIN_FAILURES": "10",
		"DATABASE_URL": "http://x", "REDIS_URL": "nonsense", "PUBLIC_ORIGINS": "example.com/path", "REQUEST_TIMEOUT": "-1s",
	} {
		env := map[string]string{"JWT_KEYS_DIR": t.TempDir(), name: value}
		err := run(t.Context(), nil, func(k string) string { return env[k] }, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v, want an error that names the variable", name, value, err)
		}
	}
	if err := run(t.Context(), []string{"serve"}, func(string) string { return "" }, &bytes.Buffer{}); err == nil {
		t.Error("an unknown argument is taken")
	}
}

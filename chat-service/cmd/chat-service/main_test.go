package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley.chat/chat-service/internal/chattest"
	"parley.chat/internal/devkit/testkit/pgtest"
)

func TestRun_help(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, func(string) string { return "" }, io.Discard, &out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"CHAT_ADDR", "DATABASE_URL", "REDIS_URL", "JWT_KEYS_DIR", "PUBLIC_ORIGINS", "PUBLIC_HOSTS", "TRUSTED_PROXIES", "COOKIE_SECURE", "STREAM_PARTITIONS", "LOG_LEVEL"} {
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
		"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318", "TRACE_RATIO": "2",
	} {
		env := map[string]string{"JWT_KEYS_DIR": t.TempDir(), name: value}
		err := run(t.Context(), nil, func(k string) string { return env[k] }, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v, want an error that names the variable", name, value, err)
		}
	}
	if err := run(t.Context(), []string{"serve"}, func(string) string { return "" }, io.Discard, io.Discard); err == nil {
		t.Error("an unknown argument is accepted")
	}
}

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestRun_channel lists the archived channels and restores one of them with a new owner.
func TestRun_channel(t *testing.T) {
	t.Parallel()
	w := chattest.Open(t, "Ann")
	const id = "5b6f0f5e-6a1c-4b54-9d0e-0a4c2f1d7e11"
	for _, sql := range []string{
		"insert into channels (id, kind, name, archived_at) values ('" + id + "', 'public', 'tea', now())",
		"insert into channels (kind, name) values ('public', 'Tea')",
		"insert into messages (channel_id, seq, id, kind, sender_id, sent_at) values ('" + id + "', 7, gen_random_uuid(), 'message', gen_random_uuid(), now())",
	} {
		w.Exec(sql)
	}
	channel := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"channel"}, args...), func(name string) string {
			if name == "DATABASE_URL" {
				return w.PG.URL
			}
			return ""
		}, &out, io.Discard)
		return out.String(), err
	}
	if out, err := channel("list", "--archived"); err != nil || !strings.HasPrefix(out, id) || !strings.Contains(out, "tea") || strings.Count(out, "\n") != 1 {
		t.Errorf("list = %q, %v", out, err)
	}
	for _, args := range [][]string{
		nil,
		{"list"},
		{"restore", id},
		{"restore", "x", "--owner", "ann"},
		{"restore", id, "--owner", "nobody"},
		{"restore", id, "--owner", "ann"}, // the name is taken
		{"restore", id, "--owner", "ann", "--name", " "},
		{"restore", "5b6f0f5e-6a1c-4b54-9d0e-0a4c2f1d7e12", "--owner", "ann"},
	} {
		if _, err := channel(args...); err == nil {
			t.Errorf("channel %v is accepted", args)
		}
	}
	if _, err := channel("restore", id, "--owner", "ann", "--name", "old tea"); err != nil {
		t.Fatal(err)
	}
	got := w.Text(`select concat_ws(' ', c.name, c.archived_at is null, c.member_count, m.role, m.joined_seq, o.kind)
		from channels c join channel_members m on m.channel_id = c.id join outbox o on o.channel_id = c.id where c.id = $1`, id)
	if want := "old tea t 1 owner 7 member_joined"; got != want {
		t.Errorf("restored: %q, want %q", got, want)
	}
}

func TestRun_keys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"keys"}, args...), func(name string) string {
			if name == "JWT_KEYS_DIR" {
				return dir
			}
			return ""
		}, &out, io.Discard)
		return out.String(), err
	}
	if out, err := keys("rotate"); err != nil || !strings.Contains(out, "will start signing in 3 minutes") {
		t.Errorf("rotate = %q, %v", out, err)
	}
	if out, err := keys("list"); err != nil || strings.Count(out, "\n") != 3 || !strings.Contains(out, " signs ") || !strings.Contains(out, " settling ") {
		t.Errorf("list = %q, %v", out, err)
	}
	if out, err := keys("prune"); err != nil || out != "" {
		t.Errorf("prune = %q, %v", out, err)
	}
	// When both keys are years old, prune deletes the key that is no longer used for signing.
	files, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files = %v, %v", files, err)
	}
	for i, old := range []string{"20200101T000000Z-a.pem", "20200102T000000Z-b.pem"} {
		if err := os.Rename(files[i], filepath.Join(dir, old)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := keys("prune"); err != nil || out != "deleted 20200101T000000Z-a\n" {
		t.Errorf("prune = %q, %v", out, err)
	}
	for _, args := range [][]string{nil, {"turn"}, {"list", "all"}} {
		if _, err := keys(args...); err == nil {
			t.Errorf("keys %v is accepted", args)
		}
	}
}

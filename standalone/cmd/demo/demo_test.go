package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/standalone"
)

func TestMain(m *testing.M) {
	pgtest.Main(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"))
}

func nothing(string) string { return "" }

func TestRun_ownInstance(t *testing.T) {
	t.Setenv("TMPDIR", shortTemp(t))
	var out, log bytes.Buffer
	if err := run(t.Context(), []string{"-own", "-n", "130"}, nothing, &out, &log); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &log)
	}
	for _, want := range []string{"130 messages sent", "history, in pages", "rows in PostgreSQL", "All 5 agree on every seq and every word"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, &out)
		}
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	t.Logf("the demo printed:\n%s", &out)
}

// shortTemp returns a temporary folder that PostgreSQL's user can access.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "parley-demo-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestRun_runningInstance runs the demo against an instance with a rate limit, and checks that the
// demo stays within the limit.
func TestRun_runningInstance(t *testing.T) {
	t.Parallel()
	db, rdb := pgtest.Empty(t), redistest.NewServer(t)
	settings := map[string]string{
		"ADDR": "127.0.0.1:0", "DATA_DIR": filepath.Join(t.TempDir(), "data"), "DATABASE_URL": db.URL, "REDIS_URL": rdb.URL(),
		"RATE_LIMIT": "5/1s",
	}
	cfg, err := standalone.LoadConfig(func(name string) string { return settings[name] })
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan standalone.Running, 1), make(chan error, 1)
	go func() {
		ended <- standalone.Serve(ctx, cfg, standalone.Options{Ready: func(r standalone.Running) { ready <- r }})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	var in standalone.Running
	select {
	case in = <-ready:
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	env := map[string]string{"PARLEY_URL": in.URL + "/", "DATABASE_URL": db.URL}
	var out bytes.Buffer
	began := time.Now()
	if err := run(ctx, []string{"-n", "30"}, func(name string) string { return env[name] }, &out, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("15 messages each took %v at 5 a second: the limit was not kept", took)
	}
	if !strings.Contains(out.String(), "All 5 agree") || !strings.Contains(out.String(), in.URL) {
		t.Errorf("the output is\n%s", &out)
	}
}

func TestRun_nobodyAtTheURL(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := run(t.Context(), []string{"-url", "http://127.0.0.1:1"}, nothing, &out, &out)
	if err == nil || !strings.Contains(err.Error(), "no Parley answers") {
		t.Errorf("with a URL that nothing answers = %v, want an error that says so", err)
	}
}

func TestReadScript(t *testing.T) {
	t.Parallel()
	script, err := readScript(1000)
	if err != nil || len(script) != 1000 {
		t.Fatalf("readScript = %d lines, %v", len(script), err)
	}
	for i, c := range script {
		if err := chat.CheckBody(c.body, 0); err != nil {
			t.Errorf("line %d %q: %v", i, c.body, err)
		}
		if c.speaker != i%2 {
			t.Errorf("line %d %q: spoken by %d, want them to take turns", i, c.body, c.speaker)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	said := []line{{3, "a"}, {4, "b"}, {5, "c"}}
	for _, tt := range []struct {
		name string
		got  report
		want string
	}{
		{"the same", report{lines: said}, ""},
		{"one missing at the end", report{lines: said[:2]}, "2 messages instead of 3"},
		{"one missing inside", report{lines: []line{{3, "a"}, {5, "c"}}}, `message 2 is seq 5 "c" instead of seq 4 "b"`},
		{"another word", report{lines: []line{{3, "a"}, {4, "x"}, {5, "c"}}}, `seq 4 "x"`},
		{"another seq", report{lines: []line{{3, "a"}, {4, "b"}, {6, "c"}}}, "seq 6"},
		{"twice", report{lines: append(said[:3:3], said[2])}, "4 messages"},
		{"out of order", report{lines: []line{said[1], said[0], said[2]}}, "not in order"},
		{"a hole", report{lines: said, hole: errors.New("got seq 9 after 7")}, "got seq 9 after 7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			err := compare(&out, []report{{who: "said", lines: said}, tt.got})
			if tt.want == "" {
				if err != nil || !strings.Contains(out.String(), "All 2 agree") {
					t.Errorf("compare = %v\n%s", err, &out)
				}
				return
			}
			if !errors.Is(err, errDisagree) || !strings.Contains(err.Error(), tt.want) || strings.Contains(out.String(), "agree") {
				t.Errorf("compare = %v, want %q in it\n%s", err, tt.want, &out)
			}
		})
	}
}

func TestRateDelay(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := &actor{limits: frame.Limits{RateMessages: 2, RateSeconds: 10}}
	if got := a.rateDelay(now); got != 0 {
		t.Errorf("nothing sent: %v, want 0", got)
	}
	a.sends = []time.Time{now.Add(-20 * time.Second), now.Add(-4 * time.Second), now.Add(-time.Second)}
	if got := a.rateDelay(now); got < 6*time.Second || got > 7*time.Second {
		t.Errorf("two sent in the last 4 s: %v, want a little over 6 s", got)
	}
	a.sends = a.sends[:2]
	if got := a.rateDelay(now); got != 0 {
		t.Errorf("one sent in the last 10 s: %v, want 0", got)
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/client"
	"parley.chat/client/internal/gatewaytest"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// server is a fake server with the user ann and the channel tea.
type server struct {
	*gatewaytest.Gateway
	requests []string // guarded by Mu
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{Gateway: gatewaytest.New(t, tea)}
	s.User = ann
	s.Hello = func(_ *websocket.Conn, h *frame.Hello) { h.Channels[0].Name = "tea" }
	s.REST = func(w http.ResponseWriter, r *http.Request) bool {
		in := map[string]any{}
		_ = json.NewDecoder(r.Body).Decode(&in) // no body has no fields
		s.Mu.Lock()
		defer s.Mu.Unlock()
		s.requests = append(s.requests, fmt.Sprint(r.URL.Path, " ", in))
		switch {
		case strings.HasSuffix(r.URL.Path, "/join") && !strings.Contains(r.URL.Path, tea.String()):
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"code":"not_found","detail":"no such channel"}`) // fails only if the client has disconnected
		case strings.HasPrefix(r.URL.Path, "/v1/channels/"):
			fmt.Fprintf(w, `{"id":%q,"name":"tea","kind":"public"}`, tea)
		case in["password"] == "wrong":
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"code":"invalid_credentials","detail":"wrong name or password"}`)
		default:
			fmt.Fprintf(w, `{"access_token":"a","refresh_token":"r","expires_in":600,"device_token":"d","user":{"id":%q,"username":"Ann"}}`, ann)
		}
		return true
	}
	return s
}

// bodies returns the bodies of the sends that the server has received.
func (s *server) bodies() (list []string) {
	for _, f := range s.Received(frame.Send) {
		list = append(list, *f.Body)
	}
	return list
}

// pipe runs the program with an input that ends, and returns what it prints.
func (s *server) pipe(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Timeout)
	defer cancel()
	err := run(ctx, append([]string{"-url", s.URL}, args...), strings.NewReader(input), &out, &out)
	if ctx.Err() != nil {
		t.Errorf("the program did not end by itself:\n%s", &out)
	}
	return out.String(), err
}

// TestPiped checks that the program ends when all input is acknowledged, and that it reports any
// input that was not sent.
func TestPiped(t *testing.T) {
	t.Parallel()
	refuse := func(s *server, conn *websocket.Conn, f frame.Client) (silent bool) {
		if *f.Body == "two" {
			s.Send(conn, frame.Encode(frame.Error{Ref: f.Ref, Code: apierr.TooLarge, Message: "too long"}))
			return true
		}
		return false
	}
	leave := func(_ *server, conn *websocket.Conn, _ frame.Client) (silent bool) {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4503, ""), time.Now().Add(time.Second))
		return true
	}
	for _, tt := range []struct {
		name    string
		answer  func(*server, *websocket.Conn, frame.Client) (silent bool) // nil: every send is acknowledged
		input   string
		bodies  string
		err     string // empty: none
		printed string
	}{
		{"all is sent", nil, "one\ntwo\n\nthree", "[one two three]", "", "✓ 1\n"},
		{"nothing", nil, "", "[]", "", "password of ann: "},
		{"quit", nil, "one\n/quit\ntwo\n", "[one]", "", "✓ 1\n"},
		{"one is refused", refuse, "one\ntwo\nthree\n", "[one two three]", "1 inputs were not sent", "✗ not sent: two: too long"},
		{"a command fails", nil, "one\n/edit\n", "[one]", "1 inputs were not sent", "/edit: missing argument"},
		{"the server ends the session", leave, "one\n", "[one]", "the server has closed the connection with 4503", "✗ not sent: one: the server has not acknowledged it"},
		{"a line that is too long", nil, "one\n" + strings.Repeat("x", maxLine+1), "[one]", "read the input: bufio.Scanner: token too long", "✓ 1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			if tt.answer != nil {
				s.OnSend = func(conn *websocket.Conn, f frame.Client) (apierr.Code, bool) { return "", tt.answer(s, conn, f) }
			}
			out, err := s.pipe(t, "secret\n"+tt.input, "-as", "ann", "-session", filepath.Join(t.TempDir(), "ann.json"), tea.String())
			if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("run = %v, want %q", err, tt.err)
			}
			if bodies := fmt.Sprint(s.bodies()); bodies != tt.bodies || !strings.Contains(out, tt.printed) {
				t.Errorf("sent %s, want %s; printed\n%s\nwant %q", bodies, tt.bodies, out, tt.printed)
			}
		})
	}
}

// TestPiped_bounded checks that the program reads only a limited amount of input ahead of the
// acknowledgements, so that a large file is never in memory as a whole.
func TestPiped_bounded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	release := make(chan struct{})
	arrived := make(chan struct{}, 1)
	s.OnSend = func(*websocket.Conn, frame.Client) (apierr.Code, bool) {
		select {
		case arrived <- struct{}{}:
		default:
		}
		<-release
		return "", false
	}
	in, input := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(context.Background(), []string{"-url", s.URL, "-as", "ann", "-session", filepath.Join(t.TempDir(), "ann.json"), tea.String()}, in, io.Discard, io.Discard)
	}()
	written := make(chan int, 1)
	go func() {
		for i := range 3 * maxUnsent {
			line := fmt.Sprintln(i)
			if i == 0 {
				line = "secret\n"
			}
			if _, err := io.WriteString(input, line); err != nil {
				t.Error(err)
			}
			if i == maxUnsent {
				written <- i
			}
		}
		_ = input.Close() // cannot fail
		written <- 3 * maxUnsent
	}()
	<-arrived
	<-written
	select {
	case n := <-written:
		t.Errorf("%d lines are read while none is acknowledged, want about %d", n, maxUnsent)
	case <-time.After(200 * time.Millisecond): // reading the rest would take only a few milliseconds
	}
	close(release)
	err := <-ended
	if n := len(s.bodies()); err != nil || n != 3*maxUnsent-1 {
		t.Errorf("run = %v after %d messages", err, n)
	}
}

// TestRun_join checks that no input is sent if the given channel cannot be joined.
func TestRun_join(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{chat.NewChannelID().String(): "no such channel", "tea": "join tea"} {
		s := newServer(t)
		if out, err := s.pipe(t, "secret\none\n", "-as", "ann", "-session", filepath.Join(t.TempDir(), "ann.json"), arg); err == nil || !strings.Contains(err.Error(), want) || len(s.bodies()) != 0 {
			t.Errorf("%s: %v, sent %q\n%s", arg, err, s.bodies(), out)
		}
	}
}

// TestRun_login checks how a session begins: by a login, which presents the device token from the
// last session; by a signup; or from the file.
func TestRun_login(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	file := filepath.Join(t.TempDir(), "ann.json")
	last := func() string {
		s.Mu.Lock()
		defer s.Mu.Unlock()
		i := slices.IndexFunc(s.requests, func(r string) bool { return !strings.HasPrefix(r, "/v1/channels") })
		if i < 0 {
			return ""
		}
		r := s.requests[i]
		s.requests = nil
		return r
	}
	for _, tt := range []struct {
		name, input string
		args        []string
		request     string
		err         string
	}{
		{"without a session", "", nil, "", "log in with -as NAME"},
		{"a wrong password", "wrong\n", []string{"-as", "ann"}, "/v1/login map[device_token: login:ann password:wrong session:bearer]", "wrong name or password"},
		{"no password", "", []string{"-as", "ann"}, "", "no password"},
		{"signup", "secret\r\n", []string{"-as", "ann", "-signup", "a@example.test"}, "/v1/signup map[email:a@example.test password:secret session:bearer username:ann]", ""},
		{"the stored session", "", nil, "", ""},
		{"login", "secret\n", []string{"-as", "ann"}, "/v1/login map[device_token:d login:ann password:secret session:bearer]", ""},
	} {
		out, err := s.pipe(t, tt.input, append(tt.args, "-session", file)...)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q\n%s", tt.name, err, tt.err, out)
		}
		if got := last(); got != tt.request {
			t.Errorf("%s: the request is %q, want %q", tt.name, got, tt.request)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pipe(t, "", "-session", file); err == nil || !strings.Contains(err.Error(), "read the session "+file) {
		t.Errorf("a damaged file: %v", err)
	}
}

// TestRun_flags checks the usage text, and that an unknown flag is an error.
func TestRun_flags(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ arg, printed, err string }{
		{"-h", usage, ""},
		{"-help", commands, ""},
		{"-loud", usage, "flag provided but not defined: -loud"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), []string{tt.arg}, strings.NewReader(""), io.Discard, &out)
		if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err || !strings.Contains(out.String(), tt.printed) {
			t.Errorf("%s: %v, printed %q", tt.arg, err, &out)
		}
	}
}

// TestDescribe checks that a refusal is shown with its message and with advice for the user.
func TestDescribe(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"reset by peer":             errors.New("reset by peer"),
		"too long":                  fmt.Errorf("post: %w", apierr.New(apierr.TooLarge, "too long")),
		"wait (retry in 3 seconds)": &client.Error{Code: apierr.RateLimited, Message: "wait", RetryAfter: 3 * time.Second},
		"the session has ended: log in again, with -as NAME": apierr.New(apierr.Unauthenticated, "token expired"),
	} {
		if got := describe(err).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestTasks checks that the result of a command that waits for an answer is shown, and that a
// command that fails counts as not sent.
func TestTasks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text    string
		err     error
		want    string
		refused int
	}{
		{"3 online", nil, "  · 3 online\n", 0},
		{"", nil, "", 0}, // the event will show the result
		{"0 online", client.ErrOffline, "  · ✗ /who: client: not connected\n", 1},
	} {
		s, out := testScreen(t, nil)
		s.start(t.Context(), "/who", func() (string, error) { return tt.text, tt.err })
		if s.busy != 1 {
			t.Errorf("%d tasks run, want one", s.busy)
		}
		s.done(<-s.later)
		if s.busy != 0 || s.refused != tt.refused || out.String() != tt.want {
			t.Errorf("%d tasks run, %d refused, printed %q, want %q", s.busy, s.refused, out, tt.want)
		}
	}
	s, _ := testScreen(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.start(ctx, "/who", func() (string, error) { return "", nil })
	s.tasks.Wait() // even though nobody receives the result
}

// TestReadLines checks that the channel of lines is closed at the end of the input, or when the
// program ends.
func TestReadLines(t *testing.T) {
	t.Parallel()
	var got []string
	for line := range readLines(t.Context(), bufio.NewScanner(strings.NewReader("a\n\nb"))) {
		got = append(got, line)
	}
	if fmt.Sprintf("%q", got) != `["a" "" "b"]` {
		t.Errorf("%q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	lines := readLines(ctx, bufio.NewScanner(strings.NewReader(strings.Repeat("x\n", 1000))))
	n := 0
	for range lines {
		n++
	}
	if n > 100 { // each time, the end is noticed with a probability of one half
		t.Errorf("%d lines after the end", n)
	}
}

package talk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"parley.chat/standalone/internal/talk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const channel = "8f14e45f-ceea-467f-9d2a-6b1f1c6d7a10"

const hello = `{"type":"hello","channels":[{"channel_id":"` + channel + `","name":"tea"}]}`

// gateway is a WebSocket server that sends hello, passes each frame to got, and then calls end.
func gateway(t *testing.T, got func(conn *websocket.Conn, data []byte) error) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("access_token"); err != nil || c.Value != "good" {
			http.Error(w, "no cookie", http.StatusUnauthorized)
			return
		}
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		err = conn.WriteMessage(websocket.TextMessage, []byte(hello))
		for err == nil {
			var data []byte
			if _, data, err = conn.ReadMessage(); err == nil {
				err = got(conn, data)
			}
		}
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http") + "/ws"
}

// jar writes a cookie jar in curl's format.
func jar(t *testing.T, host string, expires time.Time, value string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "parley.cookies")
	text := "# Netscape HTTP Cookie File\n\n" +
		"#HttpOnly_" + host + "\tFALSE\t/v1\tFALSE\t0\trefresh_token\tother\n" +
		fmt.Sprintf("#HttpOnly_%s\tFALSE\t/\tFALSE\t%d\taccess_token\t%s\n", host, expires.Unix(), value)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var soon = time.Now().Add(time.Hour)

func TestRun_sendsWhatIsTyped(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	url := gateway(t, func(conn *websocket.Conn, data []byte) error {
		mu.Lock()
		got = append(got, string(data))
		mu.Unlock()
		return conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"ack"}`))
	})
	var out, notes bytes.Buffer
	in := strings.NewReader("good morning\n\n{\"type\":\"ping\"}\n")
	if err := talk.Run(t.Context(), []string{"-b", jar(t, "localhost", soon, "good"), url}, in, &out, &notes); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 2 || got[1] != `{"type":"ping"}` {
		t.Fatalf("the server got %q, want a send and the ping as it was typed", got)
	}
	var send map[string]string
	if err := json.Unmarshal([]byte(got[0]), &send); err != nil || send["type"] != "send" || send["body"] != "good morning" ||
		send["channel_id"] != channel || len(send["client_id"]) != 36 {
		t.Errorf("the server got %v, %v", send, err)
	}
	if out.String() != hello+"\n"+strings.Repeat(`{"type":"ack"}`+"\n", 2) {
		t.Errorf("printed %q, want the frames as they came", out.String())
	}
	if !strings.Contains(notes.String(), "tea") {
		t.Errorf("notes do not name the channel: %q", notes.String())
	}
}

// TestRun_lineTooLong checks that earlier lines are sent, and that the unsent line is reported.
func TestRun_lineTooLong(t *testing.T) {
	t.Parallel()
	got := make(chan string, 8)
	url := gateway(t, func(conn *websocket.Conn, data []byte) error {
		got <- string(data)
		return conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"ack"}`))
	})
	input := "good morning\n" + strings.Repeat("x", 200_000) + "\n" + strings.Repeat("y", 2<<20) + "\ngood night\n"
	var out, note bytes.Buffer
	err := talk.Run(t.Context(), []string{"-b", jar(t, "127.0.0.1", soon, "good"), url}, strings.NewReader(input), &out, &note)
	if err == nil || !strings.Contains(err.Error(), "line 3 of the input") {
		t.Errorf("Run = %v, want an error that names line 3", err)
	}
	for _, want := range []string{"good morning", "xxxx"} {
		if text := <-got; !strings.Contains(text, want) {
			t.Errorf("sent %.60q, want %q", text, want)
		}
	}
	if len(got) > 0 {
		t.Errorf("sent %.60q too", <-got)
	}
}

func TestRun_serverHangsUp(t *testing.T) {
	t.Parallel()
	url := gateway(t, func(conn *websocket.Conn, _ []byte) error {
		return conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4001, ""), time.Now().Add(time.Second))
	})
	in, typed := io.Pipe()
	defer typed.Close()
	defer in.Close()
	go func() { _, _ = io.WriteString(typed, "hi\n") }()
	err := talk.Run(t.Context(), []string{"-b", jar(t, "127.0.0.1", soon, "good"), url}, in, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "4001") || !strings.Contains(err.Error(), "log in") {
		t.Errorf("after the server hung up: %v, want the code and what to do", err)
	}
}

func TestRun_interrupted(t *testing.T) {
	t.Parallel()
	url := gateway(t, func(*websocket.Conn, []byte) error { return nil })
	in, typed := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	out := writer(func([]byte) { cancel() }) // simulates Ctrl-C at the first frame
	if err := talk.Run(ctx, []string{"-b", jar(t, "localhost", soon, "good"), url}, in, out, io.Discard); err != nil {
		t.Errorf("Ctrl-C = %v, want nil", err)
	}
	_ = typed.Close()
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func TestRun_refuses(t *testing.T) {
	t.Parallel()
	url := gateway(t, func(*websocket.Conn, []byte) error { return nil })
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no jar", []string{"-b", filepath.Join(t.TempDir(), "none"), url}, "sign up first"},
		{"expired", []string{"-b", jar(t, "localhost", time.Now().Add(-time.Minute), "good"), url}, "expired"},
		{"another host's", []string{"-b", jar(t, "chat.example", soon, "good"), url}, "no cookie access_token"},
		{"refused", []string{"-b", jar(t, "localhost", soon, "bad"), url}, "401"},
		{"not a WebSocket URL", []string{"http://localhost:8080/ws"}, "is not a URL like"},
		{"bad channel", []string{"-c", "tea", url}, "-c: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := talk.Run(t.Context(), tt.args, strings.NewReader(""), io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run(%q) = %v, want %q in it", tt.args, err, tt.want)
			}
		})
	}
}

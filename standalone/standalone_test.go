package standalone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/standalone"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// instance is a standalone that runs in this process.
type instance struct {
	standalone.Running
	output *testkit.Output
	stop   context.CancelFunc
	ended  chan error
}

// serve starts a standalone with settings and waits until it is ready.
func serve(t *testing.T, settings map[string]string) *instance {
	t.Helper()
	in, err := tryServe(t, settings)
	if err != nil {
		t.Fatalf("standalone ended while starting: %v\n%s", err, in.output)
	}
	return in
}

func tryServe(t *testing.T, settings map[string]string) (*instance, error) {
	t.Helper()
	cfg, err := standalone.LoadConfig(environment(settings))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	in := &instance{output: &testkit.Output{}, stop: stop, ended: make(chan error, 1)}
	ready := make(chan standalone.Running, 1)
	go func() {
		in.ended <- standalone.Serve(ctx, cfg, standalone.Options{
			Progress: in.output, Log: in.output, Hints: true, Ready: func(r standalone.Running) { ready <- r },
		})
	}()
	select {
	case in.Running = <-ready:
		t.Cleanup(func() { in.shutDown(t) })
		return in, nil
	case err := <-in.ended:
		stop()
		return in, err
	case <-time.After(testkit.Timeout):
		stop()
		t.Fatalf("standalone is not ready after %v\n%s", testkit.Timeout, in.output)
		return nil, nil
	}
}

// shutDown stops the instance and fails the test if the stop was not clean. Further calls do
// nothing.
func (in *instance) shutDown(t *testing.T) {
	t.Helper()
	in.stop()
	if in.ended == nil {
		return
	}
	if err := in.wait(t); err != nil {
		t.Errorf("standalone ended with: %v\n%s", err, in.output)
	}
}

// wait waits until the instance has ended and returns its result.
func (in *instance) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-in.ended:
		in.ended = nil
		return err
	case <-time.After(testkit.Timeout):
		t.Fatalf("standalone still runs after %v\n%s", testkit.Timeout, in.output)
		return nil
	}
}

func environment(m map[string]string) func(string) string {
	return func(name string) string { return m[name] }
}

// dataDir returns a temporary folder for an instance that PostgreSQL's user can access.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "parley-standalone-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "data")
}

// user is a user with a browser.
type user struct {
	t      *testing.T
	url    string
	client *http.Client
}

func newUser(t *testing.T, url string) *user {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &user{t: t, url: url, client: &http.Client{Jar: jar, Timeout: testkit.Timeout, Transport: &http.Transport{DisableKeepAlives: true}}}
}

// call sends a request and decodes the response, which must have the given status.
func (u *user) call(method, path, body string, status int) (answer struct {
	ID    chat.ChannelID `json:"id"`
	Items []struct {
		Seq  int64  `json:"seq"`
		Body string `json:"body"`
	} `json:"items"`
},
) {
	u.t.Helper()
	req, err := http.NewRequestWithContext(u.t.Context(), method, u.url+path, strings.NewReader(body))
	if err != nil {
		u.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := u.client.Do(req)
	if err != nil {
		u.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		u.t.Fatalf("%s %s = %s, %v, want %d\n%s", method, path, resp.Status, err, status, got)
	}
	if err := json.Unmarshal(got, &answer); err != nil {
		u.t.Fatalf("%s %s: %v\n%s", method, path, err, got)
	}
	return answer
}

func (u *user) signUp() {
	u.t.Helper()
	u.call("POST", "/v1/signup", `{"username":"ada","email":"ada@example.com","password":"correct horse battery"}`, 201)
}

func (u *user) createChannel() chat.ChannelID {
	u.t.Helper()
	return u.call("POST", "/v1/channels", `{"name":"tea","kind":"public"}`, 201).ID
}

// talk sends body over a WebSocket, waits for the ack and the message, and returns the seq.
func (u *user) talk(channel chat.ChannelID, body string) int64 {
	u.t.Helper()
	d := websocket.Dialer{Jar: u.client.Jar, HandshakeTimeout: testkit.Timeout}
	conn, _, err := d.DialContext(u.t.Context(), "ws"+strings.TrimPrefix(u.url, "http")+"/ws", nil)
	if err != nil {
		u.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(testkit.Timeout))
	if err := conn.WriteJSON(map[string]any{
		"type": frame.Send, "ref": "1", "channel_id": channel, "client_id": chat.NewClientID(), "body": body,
	}); err != nil {
		u.t.Fatal(err)
	}
	var acked, heard int64
	for acked == 0 || heard == 0 {
		_, data, err := conn.ReadMessage()
		if err != nil {
			u.t.Fatalf("acked %d, heard %d: %v", acked, heard, err)
		}
		for object := range bytes.Lines(data) {
			var f struct {
				Type, Body, Code string
				Seq              int64
			}
			if err := json.Unmarshal(object, &f); err != nil {
				u.t.Fatalf("%v: %s", err, object)
			}
			switch {
			case f.Type == "ack":
				acked = f.Seq
			case f.Type == "message" && f.Body == body:
				heard = f.Seq
			case f.Type == "error":
				u.t.Fatalf("refused: %s", object)
			}
		}
	}
	if acked != heard {
		u.t.Fatalf("acknowledged as %d, heard as %d", acked, heard)
	}
	return acked
}

// history checks that the API returns exactly these messages.
func (u *user) history(channel chat.ChannelID, want ...string) {
	u.t.Helper()
	var got []string
	for _, m := range u.call("GET", "/v1/channels/"+channel.String()+"/messages", "", 200).Items {
		got = append(got, m.Body)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		u.t.Errorf("history = %q, want %q", got, want)
	}
}

// waitForRow waits until PostgreSQL contains the message.
func waitForRow(t *testing.T, databaseURL string, channel chat.ChannelID, seq int64, want string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	testkit.Until(t, testkit.Timeout, func() error {
		var body string
		err := conn.QueryRow(t.Context(), "select body from messages where channel_id = $1 and seq = $2", channel, seq).Scan(&body)
		if err == nil && body != want {
			t.Fatalf("the row of seq %d says %q, want %q", seq, body, want)
		}
		return err
	})
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Timeout: testkit.Timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestServe_keepsDataOverRestart(t *testing.T) {
	t.Parallel()
	settings := map[string]string{"ADDR": "127.0.0.1:0", "DATA_DIR": dataDir(t)}
	first := serve(t, settings)
	ada := newUser(t, first.URL)
	ada.signUp()
	channel := ada.createChannel()
	before := ada.talk(channel, "before")
	ada.history(channel, "before")
	waitForRow(t, first.DatabaseURL, channel, before, "before")
	for _, want := range []string{"curl -c parley.cookies " + first.URL + "/v1/signup", "talk -b parley.cookies ws://", "Parley is up"} {
		if !strings.Contains(first.output.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, first.output)
		}
	}
	first.shutDown(t)
	if !strings.Contains(first.output.String(), "The data is kept in "+settings["DATA_DIR"]) {
		t.Errorf("the output does not name the data directory:\n%s", first.output)
	}

	began := time.Now()
	second := serve(t, settings)
	took := time.Since(began)
	t.Logf("second start took %v", took)
	if took > 5*time.Second {
		t.Errorf("second start took %v, want under 5 s", took)
	}
	bob := newUser(t, second.URL) // ada, on another device
	bob.call("POST", "/v1/login", `{"login":"ada","password":"correct horse battery"}`, 200)
	bob.history(channel, "before")
	if after := bob.talk(channel, "after"); after <= before { // the event between them is ada's join
		t.Errorf("the first message after the restart has seq %d, the last one before it %d", after, before)
	}
	bob.history(channel, "before", "after")
	// The session also survives, because the keys are stored.
	ada.url = second.URL
	ada.history(channel, "before", "after")
}

func TestServe_observability(t *testing.T) {
	t.Parallel()
	in := serve(t, map[string]string{"ADDR": "127.0.0.1:0", "DATA_DIR": dataDir(t)})
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := get(t, in.URL+path); code != 200 || !strings.Contains(body, `"ok"`) {
			t.Errorf("%s = %d %s", path, code, body)
		}
	}
	_, ready := get(t, in.URL+"/readyz")
	for _, service := range []string{"chat-service/", "ws-server/", "sync-service/"} {
		if !strings.Contains(ready, service) {
			t.Errorf("/readyz has no check of %s: %s", service, ready)
		}
	}
	testkit.Until(t, testkit.Timeout, func() error { // sync-service registers its metrics when it starts to run
		code, metrics := get(t, in.MetricsURL)
		for _, want := range []string{"parley_chat_http_requests_in_flight", "parley_ws_connections", "parley_sync_inserted_total", "go_goroutines", "parley_build_info"} {
			if code != 200 || !strings.Contains(metrics, "\n"+want) {
				return fmt.Errorf("/metrics = %d and lacks %s", code, want)
			}
		}
		return nil
	})
	if code, body := get(t, in.URL+"/metrics"); code != 404 {
		t.Errorf("/metrics is served to everybody: %d %s", code, body)
	}
	if code, body := get(t, in.URL+"/.well-known/jwks.json"); code != 200 || !strings.Contains(body, "Ed25519") {
		t.Errorf("jwks = %d %s", code, body)
	}
	if code, _ := get(t, in.URL+"/ws"); code == 404 {
		t.Errorf("/ws is not the gateway's: %d", code)
	}
	for _, path := range []string{"/", "/v1/me", "/ws"} { // simulates a page whose host name resolves to this machine
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, in.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "evil.example"
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s of another host: %d, want 421", path, resp.StatusCode)
		}
	}
}

func TestServe_secondInstance(t *testing.T) {
	t.Parallel()
	settings := map[string]string{"ADDR": "127.0.0.1:0", "DATA_DIR": dataDir(t)}
	first := serve(t, settings)

	_, err := tryServe(t, settings)
	if err == nil || !strings.HasPrefix(err.Error(), "DATA_DIR: ") || !strings.Contains(err.Error(), first.URL) ||
		!strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("on the same data = %v, want an error that names DATA_DIR and who has it", err)
	}

	elsewhere := dataDir(t)
	taken := strings.TrimPrefix(first.URL, "http://")
	_, err = tryServe(t, map[string]string{"ADDR": taken, "DATA_DIR": elsewhere})
	if err == nil || !strings.HasPrefix(err.Error(), "ADDR: "+taken+" is in use") {
		t.Errorf("on the same port = %v, want an error that names ADDR", err)
	}
	for _, name := range []string{"postgresql", "redis", "keys"} {
		if _, err := os.Stat(filepath.Join(elsewhere, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was made before the port was known to be free: %v", name, err)
		}
	}
	newUser(t, first.URL).signUp() // the first instance is not affected
}

func TestServe_childDies(t *testing.T) {
	t.Parallel()
	settings := map[string]string{"ADDR": "127.0.0.1:0", "DATA_DIR": dataDir(t)}
	for _, tt := range []struct{ server, lock string }{
		{"Redis", "redis/parley.lock"},
		{"PostgreSQL", "postgresql.lock"},
	} {
		in := serve(t, settings) // the second instance recovers what the first one left
		owner, err := os.ReadFile(filepath.Join(settings["DATA_DIR"], tt.lock))
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(owner)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := in.wait(t); err == nil || !strings.Contains(err.Error(), tt.server+" ended") {
			t.Errorf("after the death of %s: %v, want an error that says so", tt.server, err)
		}
	}
	in := serve(t, settings)
	ada := newUser(t, in.URL)
	ada.signUp()
	ada.talk(ada.createChannel(), "still here")
}

func TestServe_givenServers(t *testing.T) {
	t.Parallel()
	db, rdb := pgtest.Empty(t), redistest.NewServer(t)
	settings := map[string]string{"ADDR": "127.0.0.1:0", "DATA_DIR": dataDir(t), "DATABASE_URL": db.URL, "REDIS_URL": rdb.URL()}
	in := serve(t, settings)
	if in.DatabaseURL != db.URL || in.RedisURL != rdb.URL() {
		t.Errorf("runs on %s and %s, want those given", in.DatabaseURL, in.RedisURL)
	}
	ada := newUser(t, in.URL)
	ada.signUp()
	channel := ada.createChannel()
	waitForRow(t, db.URL, channel, ada.talk(channel, "hello"), "hello")
	in.shutDown(t)
	for _, name := range []string{"postgresql", "redis"} {
		if _, err := os.Stat(filepath.Join(settings["DATA_DIR"], name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a private %s was made: %v", name, err)
		}
	}
	if err := rdb.Client(t).Ping(t.Context()).Err(); err != nil {
		t.Errorf("the Redis that was given has been stopped: %v", err)
	}

	settings["STREAM_PARTITIONS"] = "8"
	if _, err := tryServe(t, settings); err == nil || !strings.Contains(err.Error(), "STREAM_PARTITIONS is 8") {
		t.Errorf("with another number of partitions = %v, want an error that names it", err)
	}
}

// TestServe_unreachable checks that a wrong address is reported without starting a private server.
func TestServe_unreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, url := range map[string]string{"DATABASE_URL": "postgres://ada:secret@" + nowhere + "/parley", "REDIS_URL": "redis://" + nowhere} {
		dir := dataDir(t)
		_, err := tryServe(t, map[string]string{"ADDR": "127.0.0.1:0", "DATA_DIR": dir, name: url})
		if err == nil || !strings.HasPrefix(err.Error(), name+": ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s to nowhere = %v, want an error that names it and no secret", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "postgresql")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s to nowhere: a private server was started first", name)
		}
	}
}

// TestServe_stoppedWhileStarting checks that Ctrl-C during startup is not an error, and leaves a
// usable data folder.
func TestServe_stoppedWhileStarting(t *testing.T) {
	t.Parallel()
	settings := map[string]string{"ADDR": "127.0.0.1:0", "DATA_DIR": dataDir(t)}
	cfg, err := standalone.LoadConfig(environment(settings))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	said := &trigger{word: "PostgreSQL", do: stop}
	if err := standalone.Serve(ctx, cfg, standalone.Options{Progress: said}); err != nil {
		t.Errorf("stopped while PostgreSQL starts = %v, want nil", err)
	}
	newUser(t, serve(t, settings).URL).signUp()
}

// trigger is a writer that runs a function when a text is written. Only one goroutine uses it.
type trigger struct {
	word string
	do   func()
}

func (tr *trigger) Write(p []byte) (int, error) {
	if strings.Contains(string(p), tr.word) {
		tr.do()
	}
	return len(p), nil
}

func TestLoadConfig_namesEachBadVariableOnce(t *testing.T) {
	t.Parallel()
	_, err := standalone.LoadConfig(environment(map[string]string{
		"LOG_LEVEL": "loud", "STREAM_PARTITIONS": "many", "RATE_LIMIT": "20", "SYNC_WRITERS": "two", "ARGON2_TIME": "long", "MAX_BODY_BYTES": "x",
	}))
	if err == nil {
		t.Fatal("LoadConfig = nil, want an error")
	}
	for _, name := range []string{"LOG_LEVEL", "STREAM_PARTITIONS", "RATE_LIMIT", "SYNC_WRITERS", "ARGON2_TIME", "MAX_BODY_BYTES"} {
		if n := strings.Count("\n"+err.Error(), "\n"+name+": "); n != 1 {
			t.Errorf("%s is named %d times:\n%v", name, n, err)
		}
	}
}

func TestRun_helpAndArguments(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := standalone.Run(t.Context(), []string{"--help"}, environment(nil), &b); err != nil {
		t.Fatal(err)
	}
	help := b.String()
	for _, want := range []string{"ADDR", "DATA_DIR", "DATABASE_URL", "REDIS_URL", "JWT_KEYS_DIR", "LOG_LEVEL", "(default warn)", "RATE_LIMIT", "CLAIM_IDLE", "ARGON2_TIME"} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %s", want)
		}
	}
	for _, unwanted := range []string{"  CHAT_ADDR ", "  WS_ADDR ", "  SYNC_ADDR ", "  JWKS_URL ", "  DATABASE_ROLE "} {
		if strings.Contains(help, unwanted) {
			t.Errorf("help lists %s, which does nothing here", unwanted)
		}
	}
	if n := strings.Count(help, "\n  LOG_LEVEL "); n != 1 {
		t.Errorf("LOG_LEVEL is listed %d times", n)
	}
	if err := standalone.Run(t.Context(), []string{"serve"}, environment(nil), &b); err == nil || !strings.Contains(err.Error(), `"serve"`) {
		t.Errorf("Run with an argument = %v, want an error that names it", err)
	}
}

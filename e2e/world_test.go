// Package e2e runs the built programs as separate processes with real stores, and uses them as
// users and operators do.
package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-migrations/schematest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is a deployment: chat-service, two ws-servers, two sync-services, PostgreSQL and Redis.
type world struct {
	t     *testing.T
	pool  *pgxpool.Pool
	redis *redistest.Server
	chat  *instance
	ws    [2]*instance
	sync  [2]*instance
}

// instance is a service that a test may kill and start again, at the same address and with the same
// settings.
type instance struct {
	t    *testing.T
	name string
	env  map[string]string
	base string // http://host:port
	proc *proctest.Process
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, nil)
}

// newWorldWith is like newWorld, with additional settings for all services.
func newWorldWith(t *testing.T, settings map[string]string) *world {
	t.Helper()
	return newWorldOn(t, redistest.NewServer(t), func(string) map[string]string { return settings })
}

// newWorldOn is like newWorld, with the given Redis and additional settings by service. If redis is
// nil, the settings must contain its URL.
func newWorldOn(t *testing.T, redis *redistest.Server, settings func(service string) map[string]string) *world {
	t.Helper()
	db := schematest.Open(t)
	w := &world{t: t, pool: db.Pool(t), redis: redis}
	common := map[string]string{"DATABASE_URL": db.URL, "LOG_LEVEL": "info"}
	if redis != nil {
		common["REDIS_URL"] = redis.URL()
	}
	keys := t.TempDir()
	w.chat = w.instance("chat-service", "CHAT_ADDR", common, map[string]string{
		"JWT_KEYS_DIR": keys, "ADD_WITHOUT_INVITATION": "anyone", "LOGIN_ATTEMPTS": "10000/1m", "RATE_LIMIT_REJOIN": "off", "ARGON2_MEMORY_MIB": "8", "ARGON2_TIME": "1",
	})
	for i := range w.ws {
		w.ws[i] = w.instance("ws-server", "WS_ADDR", common, map[string]string{
			"JWKS_URL": w.chat.base + "/.well-known/jwks.json", "RATE_LIMIT": "off",
		})
	}
	for i := range w.sync {
		w.sync[i] = w.instance("sync-service", "SYNC_ADDR", common, map[string]string{
			"CONSUMER_NAME": fmt.Sprintf("sync-%d", i+1), "CLAIM_IDLE": "2s",
		})
	}
	for _, i := range w.all() {
		maps.Copy(i.env, settings(i.name))
		i.start()
	}
	for _, i := range w.all() {
		i.proc.WaitReady(t, i.base+"/readyz")
	}
	return w
}

func (w *world) all() []*instance {
	return []*instance{w.chat, w.ws[0], w.ws[1], w.sync[0], w.sync[1]}
}

func (w *world) instance(name, addrVar string, envs ...map[string]string) *instance {
	addr := fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(w.t))
	i := &instance{t: w.t, name: name, base: "http://" + addr, env: map[string]string{addrVar: addr}}
	for _, env := range envs {
		for k, v := range env {
			i.env[k] = v
		}
	}
	return i
}

func (i *instance) start() { i.proc = proctest.Start(i.t, i.name, nil, i.env) }

func (i *instance) restart() {
	i.start()
	i.proc.WaitReady(i.t, i.base+"/readyz")
}

func (i *instance) wsURL() string { return "ws" + strings.TrimPrefix(i.base, "http") }

// account is a user with a bearer token.
type account struct {
	w     *world
	ID    chat.UserID
	Name  string
	Token string
}

func (w *world) signup(name string) account {
	w.t.Helper()
	var answer struct {
		User        struct{ ID chat.UserID }
		AccessToken string `json:"access_token"`
	}
	w.call(http.MethodPost, "/v1/signup", "", map[string]string{
		"username": name, "email": name + "@example.test", "password": "correct horse " + name, "session": "bearer",
	}, http.StatusCreated, &answer)
	return account{w: w, ID: answer.User.ID, Name: name, Token: answer.AccessToken}
}

func (a account) createChannel(name, kind string) chat.ChannelID {
	a.w.t.Helper()
	var answer struct{ ID chat.ChannelID }
	a.w.call(http.MethodPost, "/v1/channels", a.Token, map[string]string{"name": name, "kind": kind}, http.StatusCreated, &answer)
	return answer.ID
}

func (a account) join(c chat.ChannelID) {
	a.w.t.Helper()
	a.w.call(http.MethodPost, "/v1/channels/"+c.String()+"/join", a.Token, nil, 0, nil)
}

type message struct {
	ID         chat.EventID
	Seq        int64
	SenderID   chat.UserID `json:"sender_id"`
	SenderName string      `json:"sender_name"`
	Body       string
}

// history returns all messages of a channel, read page by page from the beginning.
func (a account) history(c chat.ChannelID) []message {
	a.w.t.Helper()
	var all []message
	for after := int64(0); ; {
		var page struct{ Items []message }
		a.w.call(http.MethodGet, fmt.Sprintf("/v1/channels/%s/messages?after_seq=%d&limit=200", c, after), a.Token, nil, http.StatusOK, &page)
		if len(page.Items) == 0 {
			return all
		}
		all = append(all, page.Items...)
		after = page.Items[len(page.Items)-1].Seq
	}
}

// connect opens /ws and waits for hello.
func (a account) connect(ws *instance) *wstest.Conn {
	a.w.t.Helper()
	c := wstest.Dial(a.w.t, ws.wsURL()+"/ws", a.Token)
	c.AwaitType(a.w.t, "hello")
	return c
}

// call makes a request and decodes the response into out, unless out is nil. status 0 accepts any
// success.
func (w *world) call(method, path, token string, in any, status int, out any) {
	w.t.Helper()
	got, body := w.request(method, w.chat.base+path, token, in)
	if status != 0 && got != status || status == 0 && got/100 != 2 {
		w.t.Fatalf("%s %s: status %d, want %d: %s", method, path, got, status, body)
	}
	if out != nil {
		if err := json.Unmarshal(body, out); err != nil {
			w.t.Fatalf("%s %s: %v in %s", method, path, err, body)
		}
	}
}

func (w *world) request(method, url, token string, in any) (status int, body []byte) {
	w.t.Helper()
	var payload io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			w.t.Fatal(err)
		}
		payload = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, payload)
	if err != nil {
		w.t.Fatal(err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, body
}

// row is an event in PostgreSQL.
type row struct {
	Seq  int64
	ID   string
	Kind string
	Body string
}

func (w *world) rows(c chat.ChannelID) []row {
	w.t.Helper()
	q, err := w.pool.Query(context.Background(), `select seq, id::text, kind, body from messages where channel_id = $1 order by seq`, c.UUID)
	if err != nil {
		w.t.Fatal(err)
	}
	defer q.Close()
	var rows []row
	for q.Next() {
		var r row
		if err := q.Scan(&r.Seq, &r.ID, &r.Kind, &r.Body); err != nil {
			w.t.Fatal(err)
		}
		rows = append(rows, r)
	}
	if err := q.Err(); err != nil {
		w.t.Fatal(err)
	}
	return rows
}

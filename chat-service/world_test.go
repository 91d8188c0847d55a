package chatservice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	chatservice "parley.chat/chat-service"
	"parley.chat/chat-service/internal/chattest"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const partitions = chattest.Partitions

// world is a chat-service that runs in the test process, with a real PostgreSQL and a real Redis.
type world struct {
	*chattest.World
	url    string
	client *http.Client
	keys   string // the key folder
}

// setting changes the configuration of a world.
type setting func(*chatservice.Config)

func newWorld(t testing.TB, settings ...setting) *world {
	t.Helper()
	return newWorldOn(t, chattest.OpenWithRedis(t), settings...)
}

func newWorldOn(t testing.TB, stores *chattest.World, settings ...setting) *world {
	t.Helper()
	var cfg chatservice.Config
	if err := config.Load(&cfg, func(string) string { return "" }); err != nil {
		t.Fatal(err)
	}
	w := &world{World: stores, keys: t.TempDir()}
	cfg.DatabaseURL, cfg.RedisURL, cfg.KeysDir, cfg.Partitions = w.PG.URL, w.Redis.URL(), w.keys, partitions
	cfg.Argon2MemoryMiB, cfg.Argon2Time, cfg.HashQueue = 1, 1, 10_000 // cheap hashes, since these tests are not about hashing
	cfg.LoginAttempts = config.Rate{Count: 1_000_000, Per: time.Minute}
	cfg.Limits, cfg.MaxMemberships, cfg.AddUninvited = ratelimit.Rates{}, 0, "anyone" // tests exceed the limits that are meant for people, and add users who do not know each other
	cfg.Pictures = album{}
	for _, set := range settings {
		set(&cfg)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	svc, err := chatservice.New(cfg, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(svc.Handler())
	w.url, w.client = server.URL, server.Client()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- lifecycle.Run(ctx, log, 0, svc.Parts()...) }()
	t.Cleanup(func() {
		server.Close()
		stop()
		if err := errors.Join(<-done, svc.Close()); err != nil {
			t.Errorf("chat-service: %v", err)
		}
	})
	return w
}

// newPair returns a world with two members of a public channel, whose joins are events 1 and 2.
func newPair(t testing.TB) (w *world, ann, bob user, c summary) {
	t.Helper()
	w = newWorld(t)
	ann, bob = w.signup("ann"), w.signup("bob")
	c = w.create(ann, "general", "public")
	w.join(bob, c.ID)
	w.Settled()
	return w, ann, bob, c
}

// answer is a response whose body has been read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// problem is the body of an error response.
type problem struct {
	Type, Title, Detail, Code string
	Status                    int
	RequestID                 string `json:"request_id"`
	Errors                    []apierr.FieldError
}

func (a answer) problem(t testing.TB) problem {
	t.Helper()
	var p problem
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("content type %q of %d %s, want a problem document", ct, a.status, a.body)
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	for _, e := range p.Errors {
		if !slices.Contains(apierr.FieldCodes(), e.Code) || e.Code == apierr.FieldInvalid {
			t.Errorf("the field error %+v has no code of its own", e)
		}
	}
	if p.Status != a.status || p.Code == "" || p.Title == "" || p.Type == "" || p.Detail == "" || p.RequestID == "" {
		t.Fatalf("incomplete problem of status %d: %s", a.status, a.body)
	}
	return p
}

// into decodes the body of a response with the given status.
func (a answer) into(t testing.TB, status int, v any) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d %s, want %d", a.status, a.body, status)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
}

// want fails the test unless the response is a problem with the given status and code.
func (a answer) want(t testing.TB, status int, code string) problem {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d %s, want %d %s", a.status, a.body, status, code)
	}
	p := a.problem(t)
	if p.Code != code {
		t.Fatalf("code %q, want %q: %s", p.Code, code, a.body)
	}
	return p
}

// request describes a request to send.
type request struct {
	method, path string
	token        string // bearer token
	body         any    // a []byte is sent unchanged, any other value as JSON
	header       map[string]string
	client       *http.Client
}

func (w *world) send(r request) answer {
	w.T.Helper()
	a, err := w.try(r)
	if err != nil {
		w.T.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	return a
}

func (w *world) try(r request) (answer, error) {
	var body io.Reader = http.NoBody
	if r.body != nil {
		raw, ok := r.body.([]byte)
		if !ok {
			var err error
			if raw, err = json.Marshal(r.body); err != nil {
				return answer{}, err
			}
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(context.Background(), r.method, w.url+r.path, body)
	if err != nil {
		return answer{}, err
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	client := w.client
	if r.client != nil {
		client = r.client
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{resp.StatusCode, resp.Header, raw}
	if err := checkAnswer(r.method, r.path, a); err != nil {
		w.T.Errorf("%s %s: %v", r.method, r.path, err)
	}
	return a, nil
}

func (w *world) get(path, tok string) answer {
	w.T.Helper()
	return w.send(request{method: http.MethodGet, path: path, token: tok})
}

func (w *world) post(path, tok string, body any) answer {
	w.T.Helper()
	return w.send(request{method: http.MethodPost, path: path, token: tok, body: body})
}

type object map[string]any

const goodPassword = "correct horse battery"

// user is a user of the service, with the tokens of a bearer session.
type user struct {
	ID      chat.UserID
	Name    string
	Token   string
	Refresh string
	Session chat.SessionID
}

type loginAnswer struct {
	User struct {
		ID       chat.UserID `json:"id"`
		Username string      `json:"username"`
		Email    string      `json:"email"`
	} `json:"user"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int    `json:"expires_in"`
}

func (w *world) signup(name string) user {
	w.T.Helper()
	var in loginAnswer
	w.post("/v1/signup", "", object{
		"username": name, "email": name + "@example.com", "password": goodPassword, "session": "bearer",
	}).into(w.T, http.StatusCreated, &in)
	return w.userOf(in)
}

func (w *world) userOf(in loginAnswer) user {
	w.T.Helper()
	claims := w.verify(in.AccessToken)
	return user{claims.UserID, claims.Username, in.AccessToken, in.RefreshToken, claims.SessionID}
}

// verify verifies a token with the public keys that the service serves.
func (w *world) verify(raw string) token.Claims {
	w.T.Helper()
	keys, err := token.DecodeJWKS(w.get("/.well-known/jwks.json", "").body)
	if err != nil {
		w.T.Fatal(err)
	}
	claims, err := token.NewVerifier(keys).Verify(w.T.Context(), raw)
	if err != nil {
		w.T.Fatalf("verify %s: %v", raw, err)
	}
	return claims
}

// browser returns a client with a cookie jar.
func (w *world) browser() *http.Client {
	w.T.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.T.Fatal(err)
	}
	return &http.Client{Jar: jar, Transport: w.client.Transport}
}

type summary struct {
	ID          chat.ChannelID `json:"id"`
	Name        string         `json:"name"`
	Kind        string         `json:"kind"`
	Role        string         `json:"role"`
	MemberCount int            `json:"member_count"`
	LastSeq     int64          `json:"last_seq"`
	LastReadSeq int64          `json:"last_read_seq"`
	JoinedSeq   int64          `json:"joined_seq"`
	Unread      int            `json:"unread"`
}

func (w *world) create(by user, name, kind string) summary {
	w.T.Helper()
	var s summary
	w.post("/v1/channels", by.Token, object{"name": name, "kind": kind}).into(w.T, http.StatusCreated, &s)
	return s
}

func (w *world) join(by user, channel chat.ChannelID) {
	w.T.Helper()
	var s summary
	w.post("/v1/channels/"+channel.String()+"/join", by.Token, nil).into(w.T, http.StatusOK, &s)
}

package wsserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/internal/platform/telemetry"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-migrations/schematest"
	wsserver "parley.chat/ws-server"
)

func TestMain(m *testing.M) {
	testkit.Parallel(6)
	pgtest.Main(m)
}

// world is a deployment of gateways with real stores, but without the other two services.
type world struct {
	t        testing.TB
	db       *pgtest.DB
	pool     *pgxpool.Pool
	redis    *redistest.Server
	rdb      redis.UniversalClient
	url      string // REDIS_URL
	key      token.SigningKey
	issuer   *token.Issuer
	keys     token.KeySource // the gateways' keys; nil: they fetch the keys from JWKS_URL
	log      *eventlog.Log
	receipts *receiptlog.Log
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOn(t, schematest.Open(t))
}

// newWorldOn returns a world on a PostgreSQL, with a Redis of its own.
func newWorldOn(t testing.TB, db *pgtest.DB) *world {
	t.Helper()
	r := redistest.NewServer(t)
	w := &world{t: t, db: db, redis: r, rdb: r.Client(t), url: r.URL()}
	w.finish()
	return w
}

func (w *world) finish() {
	w.t.Helper()
	var err error
	if w.key, err = token.NewSigningKey(); err != nil {
		w.t.Fatal(err)
	}
	w.pool = w.db.Pool(w.t)
	w.issuer = token.NewIssuer(w.key, 15*time.Minute)
	w.keys = token.StaticKeys{w.key.ID: w.key.Public()}
	w.log, w.receipts = eventlog.New(w.rdb, 16), receiptlog.New(w.rdb, 16)
}

// newSolo returns a world with the only member of a public channel.
func newSolo(t testing.TB) (w *world, ann person, c chat.ChannelID) {
	t.Helper()
	w = newWorld(t)
	ann = w.person("ann")
	return w, ann, w.channel(chat.Public, ann)
}

// newPair returns a world with two members of a public channel.
func newPair(t testing.TB) (w *world, ann, bob person, c chat.ChannelID) {
	t.Helper()
	w = newWorld(t)
	ann, bob = w.person("ann"), w.person("bob")
	return w, ann, bob, w.channel(chat.Public, ann, bob)
}

// gateway starts an instance. It returns the address (ws://host:port) and a function that stops the
// instance, which may be called before the test ends.
func (w *world) gateway(change ...func(*wsserver.Config)) (url string, stop func()) {
	w.t.Helper()
	return w.gatewayWith(prometheus.NewRegistry(), change...)
}

// gatewayWith is like gateway and registers the instance's metrics with reg.
func (w *world) gatewayWith(reg *prometheus.Registry, change ...func(*wsserver.Config)) (url string, stop func()) {
	w.t.Helper()
	cfg, err := wsserver.LoadConfig(func(name string) string {
		return map[string]string{"DATABASE_URL": w.db.URL, "REDIS_URL": w.url, "RATE_LIMIT": "off", "FRAME_RATE": "off"}[name]
	})
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.PresenceGrace = 100 * time.Millisecond
	for _, c := range change {
		c(&cfg)
	}
	var out io.Writer = io.Discard
	if os.Getenv("PARLEY_TEST_LOG") != "" {
		out = os.Stderr
	}
	log := slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := wsserver.New(cfg, w.keys, reg, log)
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { // stop waits for the goroutine
		err := lifecycle.Run(ctx, log, 20*time.Second, append(s.Parts(), lifecycle.Part{
			Name: "listener", Run: func(ctx context.Context) error { return telemetry.ServeListener(ctx, l, s.Handler(), log) },
		})...)
		done <- errors.Join(err, s.Close())
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			stacks := make([]byte, 1<<20)
			w.t.Errorf("gateway: %v\n%s", err, stacks[:runtime.Stack(stacks, true)])
		}
	}
	w.t.Cleanup(stop)
	return "ws://" + l.Addr().String(), stop
}

// person is a user with a session and an access token.
type person struct {
	ID      chat.UserID
	Session chat.SessionID
	Name    string
	Token   string
}

func (w *world) person(name string) person {
	w.t.Helper()
	p := person{ID: chat.NewUserID(), Session: chat.NewSessionID(), Name: name}
	w.exec(`insert into users (id, username, email, password_hash) values ($1, $2, $3, 'x')`, p.ID.UUID, name, name+"@example.test")
	p.Token = w.token(p)
	return p
}

func (w *world) token(p person) string {
	w.t.Helper()
	raw, _, err := w.issuer.Issue(token.Claims{UserID: p.ID, SessionID: p.Session, Username: p.Name})
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

func (w *world) channel(kind chat.ChannelKind, members ...person) chat.ChannelID {
	w.t.Helper()
	id := chat.NewChannelID()
	w.exec(`insert into channels (id, kind, name) values ($1, $2, $3)`, id.UUID, string(kind), "c-"+id.String())
	for _, m := range members {
		w.join(id, m)
	}
	return id
}

func (w *world) join(c chat.ChannelID, p person) {
	w.t.Helper()
	w.exec(`insert into channel_members (channel_id, user_id) values ($1, $2)`, c.UUID, p.ID.UUID)
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(context.Background(), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// lock locks a table against all other sessions until the returned transaction or the test ends.
func (w *world) lock(table string) pgx.Tx {
	w.t.Helper()
	tx, err := w.pool.Begin(w.t.Context())
	if err == nil {
		w.t.Cleanup(func() { _ = tx.Rollback(context.Background()) }) // the transaction may have been committed
		_, err = tx.Exec(w.t.Context(), "lock table "+table+" in access exclusive mode")
	}
	if err != nil {
		w.t.Fatalf("lock %s: %v", table, err)
	}
	return tx
}

// blocked returns an error unless a session waits for a lock on a table.
func (w *world) blocked(table string) error {
	var waiting int
	err := w.pool.QueryRow(w.t.Context(), "select count(*) from pg_locks where not granted and relation = $1::regclass", table).Scan(&waiting)
	if err == nil && waiting == 0 {
		err = fmt.Errorf("no session waits for %s", table)
	}
	return err
}

func (w *world) notify(n notice.Notice) {
	w.t.Helper()
	if err := w.log.Notify(w.t.Context(), n); err != nil {
		w.t.Fatal(err)
	}
}

// connect opens /ws and waits for hello.
func (w *world) connect(url string, p person) (*wstest.Conn, wstest.Frame) {
	w.t.Helper()
	c := wstest.Dial(w.t, url+"/ws", p.Token)
	return c, c.AwaitType(w.t, "hello")
}

// resume opens /ws without subscriptions and subscribes to one channel from lastSeen.
func (w *world) resume(url string, p person, c chat.ChannelID, lastSeen int64) *wstest.Conn {
	w.t.Helper()
	conn := wstest.Dial(w.t, url+"/ws?subscribe=none", p.Token)
	conn.AwaitType(w.t, "hello")
	conn.Send(w.t, map[string]any{"type": "subscribe", "ref": "r", "channel_id": c, "last_seen_seq": lastSeen})
	return conn
}

func header(kv ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(kv); i += 2 {
		h.Set(kv[i], kv[i+1])
	}
	return h
}

func body(n int) string { return fmt.Sprintf("message %d", n) }

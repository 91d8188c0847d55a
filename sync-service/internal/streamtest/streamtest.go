// Package streamtest gives each test of sync-service its own real PostgreSQL database and Redis
// server. It also creates entries like those that gateways append. Only test files import the
// package.
package streamtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/database"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
	"parley.chat/sync-service/internal/store"
)

// Partitions is the number of partitions of Streams.
const Partitions = 4

// Partition returns the partition of a channel.
func Partition(c chat.ChannelID) int { return rediskey.Of(c.UUID, Partitions) }

// Message returns a new message from a user named ann.
func Message(c chat.ChannelID, seq int64, body string) frame.Event {
	return frame.Event{
		Type: event.Message, ChannelID: c, Seq: seq, ID: chat.NewEventID(), ClientID: new(chat.NewClientID()),
		SenderID: chat.NewUserID(), SenderName: "ann", Body: body, SentAt: chat.Now(),
	}
}

// Entry returns the entry that a gateway appends for the event f.
func Entry(t testing.TB, f frame.Event) event.Entry {
	t.Helper()
	payload, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	e := event.Entry{Version: event.Version, Channel: f.ChannelID, Seq: f.Seq, Epoch: "1-a", Kind: f.Type, ID: f.ID, Sender: f.SenderID, Payload: payload}
	if f.ClientID != nil {
		e.ClientID = *f.ClientID
	}
	return e
}

// Streams provides an empty Redis server or Redis Cluster. Its methods fail the test T on errors.
type Streams struct {
	T     testing.TB
	Redis *redistest.Server // nil for a cluster
	RDB   redis.UniversalClient
}

// OpenStreams starts a Redis.
func OpenStreams(t testing.TB) *Streams {
	t.Helper()
	r := redistest.NewServer(t)
	return &Streams{t, r, r.Client(t)}
}

// Add adds an entry to a stream.
func (s *Streams) Add(stream string, values any) (id string) {
	s.T.Helper()
	return s.AddAt(stream, "*", values)
}

// AddAt adds an entry with the given id to a stream.
func (s *Streams) AddAt(stream, id string, values any) string {
	s.T.Helper()
	id, err := s.RDB.XAdd(s.T.Context(), &redis.XAddArgs{Stream: stream, ID: id, Values: values}).Result()
	if err != nil {
		s.T.Fatal(err)
	}
	return id
}

// Append adds an entry to the stream of its partition.
func (s *Streams) Append(e event.Entry) (id string) {
	s.T.Helper()
	return s.Add(rediskey.Stream(Partition(e.Channel)), e.Fields())
}

// CreateGroup creates the consumer group of a stream, and the stream if it does not exist.
func (s *Streams) CreateGroup(stream string) {
	s.T.Helper()
	if err := s.RDB.XGroupCreateMkStream(s.T.Context(), stream, rediskey.ConsumerGroup, "0").Err(); err != nil {
		s.T.Fatal(err)
	}
}

// Deliver delivers the next n entries of a stream to a consumer, or all entries if n is 0.
func (s *Streams) Deliver(stream, consumer string, n int) (ids []string) {
	s.T.Helper()
	read, err := s.RDB.XReadGroup(s.T.Context(), &redis.XReadGroupArgs{
		Group: rediskey.ConsumerGroup, Consumer: consumer, Streams: []string{stream, ">"}, Count: int64(n), Block: -1,
	}).Result()
	if err != nil {
		s.T.Fatal(err)
	}
	for _, m := range read[0].Messages {
		ids = append(ids, m.ID)
	}
	return ids
}

// Ack acknowledges delivered entries of a stream.
func (s *Streams) Ack(stream string, ids ...string) {
	s.T.Helper()
	if err := s.RDB.XAck(s.T.Context(), stream, rediskey.ConsumerGroup, ids...).Err(); err != nil {
		s.T.Fatal(err)
	}
}

// SetCounter sets a channel's counter to the given seq.
func (s *Streams) SetCounter(c chat.ChannelID, seq int64) {
	s.T.Helper()
	if err := s.RDB.HSet(s.T.Context(), rediskey.Counter(Partition(c), c), "seq", seq, "epoch", "1-a").Err(); err != nil {
		s.T.Fatal(err)
	}
}

// World is a test deployment: a PostgreSQL database and Redis, without running services.
type World struct {
	*Streams
	PG       *pgtest.DB
	Pool     *pgxpool.Pool // connected as superuser
	Store    *store.Store  // connected as sync-service
	RedisURL string
	Env      map[string]string // settings of a service
}

// Open returns a World with its own PostgreSQL database and Redis server.
func Open(t testing.TB) *World {
	t.Helper()
	return On(t, schematest.Open(t))
}

// On returns a World with the given PostgreSQL database and its own Redis server.
func On(t testing.TB, pg *pgtest.DB) *World {
	t.Helper()
	s := OpenStreams(t)
	return on(s, pg, s.Redis.URL())
}

// OpenOnCluster returns a World with its own PostgreSQL database and Redis Cluster.
func OpenOnCluster(t testing.TB) *World {
	t.Helper()
	r := redistest.Cluster(t, 3, 0)
	return on(&Streams{T: t, RDB: r.Client(t)}, schematest.Open(t), r.URL())
}

func on(s *Streams, pg *pgtest.DB, redisURL string) *World {
	s.T.Helper()
	return &World{s, pg, pg.Pool(s.T), OpenStore(s.T, pg), redisURL, map[string]string{
		"DATABASE_URL": pg.URL, "REDIS_URL": redisURL, "STREAM_PARTITIONS": fmt.Sprint(Partitions),
		"CONSUMER_NAME": "test", "CLAIM_IDLE": "500ms", "BATCH_WAIT": "5ms",
	}}
}

// OpenStore returns a Store on a database.
func OpenStore(t testing.TB, pg *pgtest.DB) *store.Store {
	t.Helper()
	db, err := database.Open(pg.URL, database.Options{Role: "parley_sync", StatementTimeout: testkit.Timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return store.New(db)
}

// OpenPrepared is like Open, but also creates the partitions' sync_watermarks rows and the consumer
// groups, as consumers do when they start.
func OpenPrepared(t testing.TB) *World {
	t.Helper()
	w := Open(t)
	for p := range Partitions {
		w.CreateGroup(rediskey.Stream(p))
		w.CreateGroup(rediskey.Receipts(p))
		if err := w.Store.Prepare(t.Context(), []int{p}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// Save stores rows of a channel.
func (w *World) Save(rows ...store.Row) {
	w.T.Helper()
	if _, err := w.Store.Store(w.T.Context(), store.Batch{Partitions: []int{Partition(rows[0].Channel)}, Rows: rows}); err != nil {
		w.T.Fatal(err)
	}
}

// User inserts a user.
func (w *World) User(name string) chat.UserID {
	w.T.Helper()
	id := chat.NewUserID()
	w.Exec(`insert into users (id, username, email, password_hash) values ($1, $2, $2 || '@example.test', 'x')`, id.UUID, name)
	return id
}

// Channel inserts a private channel with members.
func (w *World) Channel(members ...chat.UserID) chat.ChannelID {
	w.T.Helper()
	id := chat.NewChannelID()
	w.Exec(`insert into channels (id, kind, name) values ($1, 'private', 'room')`, id.UUID)
	for _, u := range members {
		w.Exec(`insert into channel_members (channel_id, user_id) values ($1, $2)`, id.UUID, u.UUID)
	}
	return id
}

// Exec executes a statement as superuser.
func (w *World) Exec(sql string, args ...any) {
	w.T.Helper()
	if _, err := w.Pool.Exec(w.T.Context(), sql, args...); err != nil {
		w.T.Fatalf("%s: %v", sql, err)
	}
}

// Count executes a query that returns a single number.
func (w *World) Count(sql string, args ...any) (n int) {
	w.T.Helper()
	if err := w.Pool.QueryRow(w.T.Context(), sql, args...).Scan(&n); err != nil {
		w.T.Fatalf("%s: %v", sql, err)
	}
	return n
}

// Getenv returns the value of a setting.
func (w *World) Getenv(name string) string { return w.Env[name] }

// Configure loads the settings of a service that uses the database and Redis of the World into cfg.
func (w *World) Configure(cfg any) {
	w.T.Helper()
	if err := config.Load(cfg, w.Getenv); err != nil {
		w.T.Fatal(err)
	}
}

// Serve runs a service until the test ends or stop is called.
func Serve(t testing.TB, s interface {
	Parts() []lifecycle.Part
	Close() error
},
) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := lifecycle.Run(ctx, slog.New(slog.DiscardHandler), 0, s.Parts()...)
		if err = errors.Join(err, s.Close()); err != nil {
			t.Errorf("service: %v", err)
		}
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

package unread_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/mention"
	"parley.chat/internal/eventlog/unread"
	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// message is a message in the model.
type message struct {
	seq      int64
	sender   chat.UserID
	mentions []chat.UserID
	deleted  bool
}

// world is a channel whose log is partly stored.
type world struct {
	channel  chat.ChannelID
	log      []frame.Event
	messages []message
}

// talk creates n random events: messages, some with mentions, and deletions.
func talk(r *rand.Rand, channel chat.ChannelID, people []chat.UserID, n int) *world {
	w := &world{channel: channel}
	for seq := int64(1); seq <= int64(n); seq++ {
		client := chat.NewClientID()
		e := frame.Event{
			Type: event.Message, ChannelID: channel, Seq: seq, ID: chat.NewEventID(), ClientID: &client,
			SenderID: people[r.IntN(len(people))], SenderName: "x", Body: "hi", SentAt: chat.Now(),
		}
		switch r.IntN(6) {
		case 0:
			e.Mentions = []chat.UserID{people[r.IntN(len(people))]}
		case 1:
			e.Mentions = []chat.UserID{mention.All(channel)}
		case 2:
			if len(w.messages) > 0 {
				s := &w.messages[r.IntN(len(w.messages))]
				s.deleted = true
				e.Type, e.MessageID, e.Body = event.Delete, &w.log[s.seq-1].ID, ""
			}
		}
		if e.Type == event.Message {
			w.messages = append(w.messages, message{seq: seq, sender: e.SenderID, mentions: e.Mentions})
		}
		w.log = append(w.log, e)
	}
	return w
}

// settle puts all events into the tail. As sync-service does, it puts the events up to stored, and
// some later ones, into PostgreSQL.
func (w *world) settle(t *testing.T, r *rand.Rand, pool *pgxpool.Pool, rdb redis.UniversalClient, stored int64) {
	t.Helper()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(context.Background(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	partition := rediskey.Of(w.channel.UUID, partitions)
	for i := range w.log {
		e := &w.log[i]
		payload, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		it := event.Item{Epoch: "1-a", Seq: e.Seq, EntryID: fmt.Sprintf("%d-0", e.Seq), Kind: e.Type, Sender: e.SenderID, Frame: payload}
		if err := rdb.RPush(t.Context(), rediskey.Tail(partition, w.channel), it.Encode()).Err(); err != nil {
			t.Fatal(err)
		}
		if e.Seq > stored && r.IntN(3) > 0 {
			continue
		}
		data := map[string]any{}
		if len(e.Mentions) > 0 {
			data["mentions"] = e.Mentions
		}
		var target *string
		if e.MessageID != nil {
			id := e.MessageID.String()
			target = &id
		}
		exec(`insert into messages (channel_id, seq, id, kind, sender_id, target, body, data, sent_at) values ($1, $2, $3, $4, $5, $6, $7, $8, now())`,
			w.channel.String(), e.Seq, e.ID.String(), string(e.Type), e.SenderID.String(), target, e.Body, data)
	}
	exec(`update messages m set body = '' where m.channel_id = $1 and exists (
		select from messages d where d.channel_id = m.channel_id and d.kind = 'delete' and d.target = m.id)`, w.channel.String())
	exec(`insert into sync_watermarks (partition, entry_ms) values ($1, $2)`, partition, stored)
}

// answer returns the expected answer to a question. A deletion counts no matter where it is.
func (w *world) answer(q unread.Question) (n unread.Count) {
	for _, s := range w.messages {
		if s.deleted || s.sender == q.User || s.seq <= q.After || s.seq > q.UpTo {
			continue
		}
		n.Messages++
		if slices.Contains(s.mentions, q.User) || slices.Contains(s.mentions, mention.All(w.channel)) {
			n.Mentions++
		}
	}
	return n
}

const partitions = 16

// TestCount compares the answers to many questions with a simple model. The questions are about
// several channels, of which varying parts are stored. The questions of one call must read each
// channel's tail only once.
func TestCount(t *testing.T) {
	t.Parallel()
	for range 4 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { testCount(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func testCount(t *testing.T, r *rand.Rand) {
	pg, server := schematest.Open(t), redistest.NewServer(t)
	pool, rdb := pg.Pool(t), server.Client(t)
	db, err := database.Open(pg.URL, database.Options{Role: "parley_ws", Inline: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	people := []chat.UserID{chat.NewUserID(), chat.NewUserID(), chat.NewUserID()}
	worlds := map[chat.ChannelID]*world{}
	used := map[int]bool{}
	for len(worlds) < 3 {
		c := chat.NewChannelID()
		if p := rediskey.Of(c.UUID, partitions); used[p] { // each channel has its own watermark
			continue
		} else {
			used[p] = true
		}
		n := 1 + r.IntN(60)
		worlds[c] = talk(r, c, people, n)
		worlds[c].settle(t, r, pool, rdb, r.Int64N(int64(n)))
	}
	var questions []unread.Question
	for c, w := range worlds {
		for range 100 {
			q := unread.Question{Channel: c, User: people[r.IntN(len(people))], UpTo: int64(len(w.log)), After: r.Int64N(int64(len(w.log) + 1))}
			if r.IntN(3) == 0 {
				q.UpTo = r.Int64N(int64(len(w.log) + 1))
			}
			questions = append(questions, q)
		}
	}
	counter, err := unread.New(unread.Config{DB: db, Log: eventlog.New(rdb, partitions)})
	if err != nil {
		t.Fatal(err)
	}
	before := calls(t, rdb)
	counts, err := counter.Count(t.Context(), questions)
	if err != nil {
		t.Fatal(err)
	}
	if n := calls(t, rdb) - before; n > 2*len(worlds) { // the newest item, and the items above the watermark
		t.Errorf("%d reads of the tails of %d channels", n, len(worlds))
	}
	for i, q := range questions {
		if want := worlds[q.Channel].answer(q); counts[i] != want {
			t.Errorf("question %d, of %d to %d: %+v, want %+v", i, q.After, q.UpTo, counts[i], want)
		}
	}
}

// calls returns how many list ranges have been read.
func calls(t *testing.T, rdb redis.UniversalClient) int {
	t.Helper()
	info, err := rdb.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`cmdstat_lrange:calls=(\d+)`).FindStringSubmatch(info)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/devkit/testkit/wstest"
)

// dump returns the tables in PostgreSQL and the keys in Redis that contain a text.
func (w *world) dump(text string) (found []string) {
	w.t.Helper()
	ctx := context.Background()
	fail := func(err error) {
		if err != nil && !errors.Is(err, redis.Nil) {
			w.t.Fatal(err)
		}
	}
	rows, err := w.pool.Query(ctx, "select tablename from pg_tables where schemaname = 'public'")
	fail(err)
	var tables []string
	for rows.Next() {
		var name string
		fail(rows.Scan(&name))
		tables = append(tables, name)
	}
	for _, name := range tables {
		var n int
		fail(w.pool.QueryRow(ctx, "select count(*) from "+name+" t where t::text ilike '%' || $1 || '%'", text).Scan(&n))
		if n > 0 {
			found = append(found, fmt.Sprintf("%d rows of %s", n, name))
		}
	}
	rdb := w.redis.Client(w.t)
	keys, err := rdb.Keys(ctx, "*").Result()
	fail(err)
	for _, key := range keys {
		var value any
		switch rdb.Type(ctx, key).Val() {
		case "string":
			value, err = rdb.Get(ctx, key).Result()
		case "list":
			value, err = rdb.LRange(ctx, key, 0, -1).Result()
		case "hash":
			value, err = rdb.HGetAll(ctx, key).Result()
		case "set":
			value, err = rdb.SMembers(ctx, key).Result()
		case "zset":
			value, err = rdb.ZRange(ctx, key, 0, -1).Result()
		case "stream":
			value, err = rdb.XRange(ctx, key, "-", "+").Result()
		}
		fail(err)
		if strings.Contains(strings.ToLower(key+fmt.Sprint(value)), text) {
			found = append(found, key)
		}
	}
	return found
}

// TestErasure deletes an account. Immediately afterward, no response and no replay may contain the
// user's name; soon afterward, no row and no key may contain it.
func TestErasure(t *testing.T) {
	w := newWorldOn(t, redistest.NewServer(t), func(string) map[string]string { return map[string]string{"STREAM_RETENTION": "1s"} })
	vera, bob := w.signup("qzxvera"), w.signup("bobby")
	c := vera.createChannel("shared", "public")
	bob.join(c)
	head := w.heads()
	testkit.Until(t, testkit.Timeout, func() error { // the log contains both member_joined events
		if n := head(c); n < 2 {
			return fmt.Errorf("the channel is at seq %d", n)
		}
		return nil
	})
	v, b := vera.connect(w.ws[0]), bob.connect(w.ws[0])
	for i := range 20 {
		v.Say(t, c, fmt.Sprint("hello ", i))
	}
	var joined int64 // a replay does not start before this seq
	if err := w.pool.QueryRow(t.Context(), `select joined_seq from channel_members where channel_id = $1 and user_id = $2`, c.UUID, bob.ID.UUID).Scan(&joined); err != nil {
		t.Fatal(err)
	}
	v.AwaitSeq(t, c, 3, 22)
	b.AwaitSeq(t, c, 3, 22)
	if found := w.dump("qzx"); len(found) < 3 {
		t.Fatalf("before the deletion, only %v contain the name", found)
	}
	w.call(http.MethodDelete, "/v1/me", vera.Token, map[string]string{"password": "correct horse qzxvera"}, http.StatusNoContent, nil)
	named := func(when string) {
		t.Helper()
		for _, list := range []string{"events", "messages", "members"} {
			_, body := w.request(http.MethodGet, w.chat.base+"/v1/channels/"+c.String()+"/"+list, bob.Token, nil)
			if strings.Contains(strings.ToLower(string(body)), "qzx") || len(body) < 100 {
				t.Errorf("%s: %s: %s", when, list, body)
			}
		}
		for i, ws := range w.ws {
			conn := wstest.Dial(t, ws.wsURL()+"/ws?subscribe=none", bob.Token)
			conn.AwaitType(t, "hello")
			conn.Send(t, map[string]any{"type": "subscribe", "ref": "r", "channel_id": c, "last_seen_seq": joined})
			conn.AwaitSeq(t, c, joined+1, 23)
			for _, f := range conn.Frames() {
				if strings.Contains(strings.ToLower(string(f.Raw)), "qzx") {
					t.Errorf("%s: replay of gateway %d: %s", when, i, f.Raw)
				}
			}
			conn.Close()
		}
	}
	named("at once")
	testkit.Until(t, testkit.Timeout, func() error {
		if found := w.dump("qzx"); len(found) > 0 {
			return fmt.Errorf("%v contain the name", found)
		}
		return nil
	})
	named("afterwards")
}

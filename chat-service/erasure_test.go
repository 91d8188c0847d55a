package chatservice_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	chatservice "parley.chat/chat-service"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// tablesWith returns the tables that have a row containing text.
func (w *world) tablesWith(text string) (found []string) {
	w.T.Helper()
	rows, err := w.Pool.Query(context.Background(), "select tablename from pg_tables where schemaname = 'public' order by 1")
	if err != nil {
		w.T.Fatal(err)
	}
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			w.T.Fatal(err)
		}
		tables = append(tables, name)
	}
	for _, name := range tables {
		if n := w.Count("select count(*) from "+name+" t where t::text ilike '%' || $1 || '%'", text); n > 0 {
			found = append(found, fmt.Sprintf("%s (%d)", name, n))
		}
	}
	return found
}

// keysWith returns the Redis keys whose name or value contains text.
func (w *world) keysWith(text string) (found []string) {
	w.T.Helper()
	ctx := context.Background()
	keys, err := w.RDB.Keys(ctx, "*").Result()
	if err != nil {
		w.T.Fatal(err)
	}
	for _, key := range keys {
		var value any
		var err error
		switch kind := w.RDB.Type(ctx, key).Val(); kind {
		case "string":
			value, err = w.RDB.Get(ctx, key).Result()
		case "list":
			value, err = w.RDB.LRange(ctx, key, 0, -1).Result()
		case "hash":
			value, err = w.RDB.HGetAll(ctx, key).Result()
		case "set":
			value, err = w.RDB.SMembers(ctx, key).Result()
		case "zset":
			value, err = w.RDB.ZRangeWithScores(ctx, key, 0, -1).Result()
		case "stream":
			value, err = w.RDB.XRange(ctx, key, "-", "+").Result()
		case "none": // the key has expired
		default:
			w.T.Fatalf("key %s: a dump of a %s is missing", key, kind)
		}
		if err != nil && err != redis.Nil {
			w.T.Fatal(err)
		}
		if strings.Contains(strings.ToLower(key+fmt.Sprint(value)), text) {
			found = append(found, key)
		}
	}
	return found
}

// TestErasure checks that, after an account is deleted, no data of chat-service identifies its user
// and no response contains their name. The rows of the event log still do until sync-service
// removes the names.
func TestErasure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, askStrangers)
	const mark = "qzx" // a text that occurs in all of the user's data, and nowhere else
	vera, bob := w.signup("qzxvera"), w.signup("bob")
	w.do("PATCH", "/v1/me", vera, object{"display_name": "Qzx Vera", "bio": "I am qzx"}).must(t, 200)
	w.send(request{
		method: http.MethodPost, path: "/v1/login", body: object{"login": "qzxvera", "password": goodPassword, "session": "bearer"},
		header: map[string]string{"User-Agent": "phone of qzx"},
	}).must(t, 200)
	w.post("/v1/login", "", object{"login": "qzxvera", "password": "wrong horse"}).want(t, 401, "invalid_credentials")

	shared, left := w.create(bob, "shared", "public"), w.create(bob, "left", "public")
	invites, invited := w.create(vera, "invites", "private"), w.create(bob, "invited", "private")
	for _, c := range []summary{shared, left} {
		w.join(vera, c.ID)
	}
	w.join(vera, shared.ID)
	w.do("POST", path(invites.ID)+"/members", vera, object{"user_id": bob.ID}).must(t, 202)
	w.do("POST", path(invited.ID)+"/members", bob, object{"user_id": vera.ID}).must(t, 202)
	other := w.create(bob, "other", "public")
	w.do("PUT", path(other.ID)+"/bans/"+vera.ID.String(), bob, nil).must(t, 204)
	w.Exec("insert into contacts (user_id, contact_id, state) values ($1, $2, 'accepted'), ($2, $1, 'accepted')", vera.ID.String(), bob.ID.String())
	w.Exec("update users set suspension_reason = 'qzx was rude' where id = $1", vera.ID.String())
	w.Settled()

	say := w.gateway()
	for _, c := range []summary{shared, left} {
		for i := range 6 {
			e := say(frame.Event{Type: event.Message, ChannelID: c.ID, SenderID: vera.ID, SenderName: vera.Name, Body: fmt.Sprint("hello ", i)})
			say(frame.Event{Type: event.Edit, ChannelID: c.ID, SenderID: vera.ID, MessageID: &e.ID, Body: fmt.Sprint("hello again ", i)})
		}
		for _, e := range w.Events(c.ID) { // stored, and still in the tail
			if e.Seq < 8 {
				w.persist(e)
			}
		}
	}
	w.do("POST", path(left.ID)+"/leave", vera, nil).must(t, 204)
	w.Settled()
	answers := []string{
		"/v1/users/" + vera.ID.String(), "/v1/profiles?ids=" + vera.ID.String(), "/v1/users?query=qzx", "/v1/channels", "/v1/contacts", "/v1/groups", "/v1/invitations",
		path(invited.ID) + "/members", path(other.ID) + "/bans",
	}
	for _, c := range []summary{shared, left} {
		for _, list := range []string{"/events", "/messages", "/members"} {
			answers = append(answers, path(c.ID)+list, path(c.ID)+list+"?limit=3")
		}
	}
	asked := func() (naming []string) {
		for _, path := range answers {
			if a := w.get(path, bob.Token); a.status != 200 || strings.Contains(strings.ToLower(string(a.body)), mark) {
				naming = append(naming, fmt.Sprintf("%s: %d %s", path, a.status, a.body))
			}
		}
		return naming
	}
	if before := asked(); len(before) < 8 {
		t.Fatalf("before the deletion only these responses contain the name: %q", before)
	}
	if tables, keys := w.tablesWith(mark), w.keysWith(mark); len(tables) < 3 || len(keys) == 0 {
		t.Fatalf("before the deletion only the tables %q and the keys %q contain the name", tables, keys)
	}
	if tables, keys := w.tablesWith(mark), w.keysWith(mark); len(tables) < 3 || len(keys) == 0 {
		t.Fatalf("before the deletion only the tables %q and the keys %q contain the name", tables, keys)
	}

	// A change that is not published yet is still in the outbox.
	w.Redis.Stop(t)
	w.do("POST", path(shared.ID)+"/leave", vera, nil).must(t, 204)
	w.delete("/v1/me", vera.Token, object{"password": goodPassword}).must(t, 204)
	for _, table := range w.tablesWith(mark) {
		if !strings.HasPrefix(table, "messages ") {
			t.Errorf("table %s contains the name", table)
		}
	}
	w.Redis.Start(t)
	w.Settled()
	if naming := asked(); len(naming) > 0 {
		t.Errorf("responses contain the name: %s", strings.Join(naming, "\n"))
	}
	if n := w.Count("select count(*) from erasures where user_id = $1 and scrubbed_at is null", vera.ID.String()); n != 1 {
		t.Error("the erasure is not recorded for sync-service")
	}
	for _, key := range w.keysWith(mark) { // keys that expire soon, or that disappear when the retention period of the streams ends
		if !strings.Contains(key, ":tail:") && !strings.HasSuffix(key, ":stream") {
			t.Errorf("key %s contains the name", key)
		}
	}
	relayed := slices.DeleteFunc(w.Events(shared.ID), func(e frame.Event) bool { return e.Type != event.MemberLeft })
	if len(relayed) != 1 || relayed[0].Username != "" {
		t.Errorf("relayed after the deletion: %+v, want one event without the name", relayed)
	}
}

// TestErasure_nameIsReserved checks that nobody can sign up with the name of a deleted account, or
// a lookalike, for the configured time. The database does not contain the name itself.
func TestErasure_nameIsReserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("qzxann")
	w.delete("/v1/me", ann.Token, object{"password": goodPassword}).must(t, 204)
	try := func(name string) answer {
		return w.post("/v1/signup", "", object{"username": name, "email": name + "2@example.com", "password": goodPassword, "session": "bearer"})
	}
	for _, name := range []string{"qzxann", "QzxAnn", "qzxаnn"} { // the last name has a Cyrillic letter
		if a := try(name); a.status != 409 && a.status != 422 {
			t.Errorf("signup as %s: %d %s", name, a.status, a.body)
		}
	}
	if found := w.tablesWith("qzxann"); len(found) > 0 {
		t.Errorf("%v contain the name", found)
	}
	var left time.Duration
	var until time.Time
	if err := w.Pool.QueryRow(t.Context(), "select until from reserved_names").Scan(&until); err != nil {
		t.Fatal(err)
	}
	if left = time.Until(until); left < 179*24*time.Hour || left > 181*24*time.Hour {
		t.Errorf("reserved for %s, want 180 days", left)
	}
	w.Exec("update reserved_names set until = now()")
	if a := try("qzxann"); a.status != 201 {
		t.Errorf("signup after the reservation: %d %s", a.status, a.body)
	}
}

// TestErasure_notReserved checks that the name can be used again immediately if the reservation is
// turned off.
func TestErasure_notReserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *chatservice.Config) { c.NameReservation = 0 })
	ann := w.signup("ann")
	w.delete("/v1/me", ann.Token, object{"password": goodPassword}).must(t, 204)
	if again := w.signup("ann"); again.ID == ann.ID {
		t.Error("signup returned the deleted account")
	}
}

package chatservice_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/eventlog/appender"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-contracts/rediskey"
)

func TestChannel_createJoinLeave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	a := w.post("/v1/channels", ann.Token, object{"name": " General ", "kind": "public", "description": "for <all>", "unknown": 1})
	var made summary
	a.into(t, http.StatusCreated, &made)
	if made.Name != "General" || made.Role != "owner" || made.MemberCount != 1 || a.header.Get("Location") != "/v1/channels/"+made.ID.String() {
		t.Errorf("created %s at %s", a.body, a.header.Get("Location"))
	}
	if !strings.Contains(string(a.body), `"for <all>"`) {
		t.Errorf("HTML is escaped: %s", a.body)
	}
	path := "/v1/channels/" + made.ID.String()
	w.get(path, bob.Token).want(t, 403, "forbidden")
	w.get(path+"/messages", bob.Token).want(t, 403, "forbidden")
	for range 2 {
		var s summary
		w.post(path+"/join", bob.Token, nil).into(t, 200, &s)
		if s.Role != "member" || s.MemberCount != 2 {
			t.Errorf("joined %+v", s)
		}
	}
	w.Settled()
	if got := w.EventLog(made.ID); got != "1 member_joined ann, 2 member_joined bob" {
		t.Errorf("events: %s", got)
	}
	joined := w.Events(made.ID)[1]
	if joined.SenderID != bob.ID || joined.UserID == nil || *joined.UserID != bob.ID || joined.ChannelID != made.ID || time.Since(joined.SentAt.Time) > time.Minute {
		t.Errorf("event = %+v", joined)
	}
	var s summary
	w.get(path, bob.Token).into(t, 200, &s)
	if s.LastSeq != 2 || s.Unread != 0 || s.MemberCount != 2 {
		t.Errorf("summary = %+v", s)
	}
	for range 2 {
		if a := w.post(path+"/leave", bob.Token, nil); a.status != 204 {
			t.Fatalf("leave = %d %s", a.status, a.body)
		}
	}
	w.get(path, bob.Token).want(t, 403, "forbidden")
	w.join(bob, made.ID)
	w.Settled()
	if got := w.EventLog(made.ID); got != "1 member_joined ann, 2 member_joined bob, 3 member_left bob, 4 member_joined bob" {
		t.Errorf("events: %s", got)
	}
}

// TestChannel_preview checks what users see of a channel that they have not joined.
func TestChannel_preview(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	type preview struct {
		ID          chat.ChannelID `json:"id"`
		Name        string         `json:"name"`
		Kind        string         `json:"kind"`
		Description string         `json:"description"`
		MemberCount int            `json:"member_count"`
		Banned      bool           `json:"banned"`
	}
	for _, kind := range []string{"public", "unlisted"} {
		var c summary
		w.post("/v1/channels", ann.Token, object{"name": kind, "kind": kind, "description": "for all"}).into(t, 201, &c)
		var got preview
		w.get("/v1/channels/"+c.ID.String()+"/preview", bob.Token).into(t, 200, &got)
		if want := (preview{c.ID, kind, kind, "for all", 1, false}); got != want {
			t.Errorf("preview %+v, want %+v", got, want)
		}
		w.do("PUT", "/v1/channels/"+c.ID.String()+"/bans/"+bob.ID.String(), ann, nil).must(t, 204)
		w.get("/v1/channels/"+c.ID.String()+"/preview", bob.Token).into(t, 200, &got)
		if !got.Banned {
			t.Error("the preview does not tell bob that he is banned")
		}
		w.do("DELETE", "/v1/channels/"+c.ID.String(), ann, nil).must(t, 204)
		w.get("/v1/channels/"+c.ID.String()+"/preview", bob.Token).want(t, 404, "not_found")
	}
}

func TestChannel_createRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	w.create(ann, "General", "public")
	group := "7b0e9a3c-3a5e-4f7e-9d57-0f6a0a2f7f11"
	w.Exec("insert into groups (id, name) values ($1, 'team')", group)
	w.Exec("insert into group_members (group_id, user_id, role) values ($1, $2, 'member')", group, bob.ID.String())
	for _, tt := range []struct {
		name   string
		body   object
		status int
		code   string
		field  string
	}{
		{"name in use", object{"name": "gENERAL", "kind": "public"}, 409, "name_taken", "name"},
		{"no name", object{"kind": "public"}, 422, "invalid_request", "name"},
		{"blank name", object{"name": " \t ", "kind": "public"}, 422, "invalid_request", "name"},
		{"invisible name", object{"name": "\u200b", "kind": "public"}, 422, "invalid_request", "name"},
		{"name with a direction override", object{"name": "a\u202eb", "kind": "public"}, 422, "invalid_request", "name"},
		{"long name", object{"name": strings.Repeat("ü", 81), "kind": "public"}, 422, "invalid_request", "name"},
		{"NUL in name", object{"name": "a\x00b", "kind": "public"}, 422, "invalid_request", "name"},
		{"mistyped name", object{"name": []int{1}, "kind": "public"}, 422, "invalid_request", "name"},
		{"no kind", object{"name": "x"}, 422, "invalid_request", "kind"},
		{"unknown kind", object{"name": "x", "kind": "secret"}, 422, "invalid_request", "kind"},
		{"direct", object{"name": "x", "kind": "direct"}, 422, "invalid_request", "kind"},
		{"long description", object{"name": "x", "kind": "public", "description": strings.Repeat("x", 501)}, 422, "invalid_request", "description"},
		{"malformed group id", object{"name": "x", "kind": "public", "group_id": "x"}, 422, "invalid_request", "group_id"},
		{"unknown group", object{"name": "x", "kind": "public", "group_id": chat.NewChannelID().String()}, 404, "not_found", ""},
		{"group of other users", object{"name": "x", "kind": "public", "group_id": group}, 404, "not_found", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := w.post("/v1/channels", ann.Token, tt.body).want(t, tt.status, tt.code)
			if tt.field != "" && (len(p.Errors) != 1 || p.Errors[0].Field != tt.field) {
				t.Errorf("errors = %+v, want one of %s", p.Errors, tt.field)
			}
		})
	}
	w.post("/v1/channels", bob.Token, object{"name": "x", "kind": "public", "group_id": group}).want(t, 403, "forbidden")
	// Only the names of public channels must be unique.
	w.create(ann, "General", "unlisted")
	w.create(bob, "General", "private")
}

func TestChannel_hidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.signup("ann"), w.signup("bob"), w.signup("eve")
	private := w.create(ann, "secret", "private")
	var direct chat.ChannelID
	if err := w.Pool.QueryRow(t.Context(), "select channel_id::text from open_direct_channel($1, $2)", ann.ID.String(), bob.ID.String()).Scan(textID{&direct}); err != nil {
		t.Fatal(err)
	}
	unknown := chat.NewChannelID()
	bodies := map[string]bool{}
	for _, id := range []chat.ChannelID{private.ID, direct, unknown} {
		for _, r := range []request{
			{method: "GET", path: "/v1/channels/" + id.String()},
			{method: "POST", path: "/v1/channels/" + id.String() + "/join"},
			{method: "POST", path: "/v1/channels/" + id.String() + "/leave"},
			{method: "GET", path: "/v1/channels/" + id.String() + "/messages"},
		} {
			r.token = eve.Token
			a := w.send(r)
			p := a.want(t, 404, "not_found")
			bodies[strings.ReplaceAll(string(a.body), p.RequestID, "")] = true
		}
	}
	if len(bodies) != 1 {
		t.Errorf("the responses distinguish hidden channels from unknown ones: %v", bodies)
	}
	w.get("/v1/channels/nonsense", eve.Token).want(t, 404, "not_found")
	w.post("/v1/channels/"+direct.String()+"/leave", ann.Token, nil).want(t, 403, "forbidden")
	// A join by a member of a private channel has no effect. After leaving, the user cannot join
	// again.
	w.join(ann, private.ID)
	if a := w.post("/v1/channels/"+private.ID.String()+"/leave", ann.Token, nil); a.status != 204 {
		t.Fatalf("leave = %d %s", a.status, a.body)
	}
	w.post("/v1/channels/"+private.ID.String()+"/join", ann.Token, nil).want(t, 404, "not_found")
}

// textID scans an id that was selected as text.
type textID struct{ id *chat.ChannelID }

func (s textID) Scan(src any) (err error) {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("%T is not text", src)
	}
	*s.id, err = chat.ParseChannelID(text)
	return err
}

func TestChannel_list(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	var want []string
	for i := range 7 {
		name := fmt.Sprintf("Room %d", 6-i)
		w.create(ann, name, "public")
		want = append(want, name)
	}
	slices.Sort(want)
	w.create(ann, "100% _wild_", "public")
	hidden := w.create(bob, "hidden", "private")
	w.create(bob, "room under the counter", "unlisted")
	list := func(query string, by user) (names []string) {
		t.Helper()
		for next := ""; ; {
			var page struct {
				Items []summary
				Next  *string `json:"next_cursor"`
			}
			w.get("/v1/channels?limit=3&"+query+next, by.Token).into(t, 200, &page)
			for _, c := range page.Items {
				names = append(names, c.Name)
			}
			if page.Next == nil {
				return names
			}
			next = "&cursor=" + *page.Next
		}
	}
	if got := list("query=rOOm", bob); !slices.Equal(got, want) {
		t.Errorf("public channels = %v, want %v", got, want)
	}
	if got := list("", bob); len(got) != 8 || slices.Contains(got, hidden.Name) {
		t.Errorf("public channels = %v", got)
	}
	if got := list("query=%25+_w", bob); !slices.Equal(got, []string{"100% _wild_"}) {
		t.Errorf("query with wildcards = %v", got)
	}
	if got := list("mine=true", bob); !slices.Equal(got, []string{"hidden", "room under the counter"}) {
		t.Errorf("bob's channels = %v", got)
	}
	if got := list("mine=true&query=under", bob); !slices.Equal(got, []string{"room under the counter"}) {
		t.Errorf("bob's channels with query = %v", got)
	}
	for query, field := range map[string]string{
		"limit=0": "limit", "limit=201": "limit", "limit=x": "limit", "mine=perhaps": "mine", "query=a%00b": "query", "query=%ff": "query",
		"cursor=x": "cursor", "cursor=e30x": "cursor", "cursor=eyJuIjoiXHUwMDAwIn0": "cursor",
	} {
		if p := w.get("/v1/channels?"+query, bob.Token).want(t, 422, "invalid_request"); p.Errors[0].Field != field {
			t.Errorf("%s: errors = %+v", query, p.Errors)
		}
	}
}

// TestChannel_concurrentJoinsAndLeaves checks that the events agree with the membership rows after
// many concurrent joins and leaves.
func TestChannel_concurrentJoinsAndLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	channel := w.create(ann, "general", "public")
	users := []user{w.signup("bob"), w.signup("cyd"), w.signup("dan")}
	var wg sync.WaitGroup
	for i, u := range slices.Concat(users, users, users) {
		wg.Go(func() {
			for j := range 6 {
				action := []string{"/join", "/leave"}[(i+j)%2]
				a, err := w.try(request{method: "POST", path: "/v1/channels/" + channel.ID.String() + action, token: u.Token})
				// A join returns the channel. Another request may have removed the user from it in
				// the meantime.
				if err != nil || a.status >= 500 || a.status == 404 {
					t.Errorf("%s = %d %s, %v", action, a.status, a.body, err)
				}
			}
		})
	}
	wg.Wait()
	w.Settled()
	in := map[string]bool{}
	for i, e := range w.Events(channel.ID) {
		if e.Seq != int64(i+1) {
			t.Fatalf("seq %d at position %d", e.Seq, i+1)
		}
		if was := in[e.Username]; was == (e.Type == event.MemberJoined) {
			t.Fatalf("event %d: %s %s, was a member before: %v", e.Seq, e.Username, e.Type, was)
		}
		in[e.Username] = e.Type == event.MemberJoined
	}
	for _, u := range users {
		n := w.Count("select count(*) from channel_members where channel_id = $1 and user_id = $2", channel.ID.String(), u.ID.String())
		if (n == 1) != in[u.Name] {
			t.Errorf("%s: %d rows, but according to the events a member: %v", u.Name, n, in[u.Name])
		}
	}
}

func TestChannel_userNotices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	channel := w.create(ann, "general", "public")
	sub := w.RDB.SSubscribe(t.Context(), rediskey.UserTopic(rediskey.Of(bob.ID.UUID, partitions), bob.ID))
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := func() notice.Notice {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Timeout)
		defer cancel()
		msg, err := sub.ReceiveMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n, err := notice.Decode([]byte(msg.Payload))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	w.join(bob, channel.ID)
	if n := next(); n.Kind != notice.ChannelAdded || n.ChannelID == nil || *n.ChannelID != channel.ID || n.By == nil || *n.By != bob.ID {
		t.Errorf("notice = %+v", n)
	}
	w.post("/v1/channels/"+channel.ID.String()+"/leave", bob.Token, nil)
	if n := next(); n.Kind != notice.ChannelRemoved || n.ChannelID == nil || *n.ChannelID != channel.ID {
		t.Errorf("notice = %+v", n)
	}
	// Another service has written this row, without poking the relay.
	w.Exec("select open_direct_channel($1, $2)", ann.ID.String(), bob.ID.String())
	if n := next(); n.Kind != notice.ChannelAdded || n.ChannelID == nil || *n.ChannelID == channel.ID || *n.By != ann.ID {
		t.Errorf("notice = %+v", n)
	}
}

// appendMessages appends messages as a gateway would.
func (w *world) appendMessages(by user, channel chat.ChannelID, bodies ...string) []frame.Event {
	w.T.Helper()
	floor := func(context.Context, chat.ChannelID) (int64, error) {
		return 0, errors.New("the channel has a counter")
	}
	a := appender.New(w.Log, w.RDB, floor, appender.Config{})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			w.T.Error(err)
		}
	}()
	events := make([]frame.Event, len(bodies))
	for i, body := range bodies {
		id := chat.NewClientID()
		e := frame.Event{
			Type: event.Message, ChannelID: channel, ID: chat.NewEventID(), ClientID: &id,
			SenderID: by.ID, SenderName: by.Name, Body: body, SentAt: chat.Now(),
		}
		ack, err := a.Append(ctx, e, appender.Options{})
		if err != nil {
			w.T.Fatal(err)
		}
		e.Seq = ack.Seq
		events[i] = e
	}
	return events
}

func TestChannel_unread(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	channel := w.create(ann, "general", "public")
	w.Settled()
	w.appendMessages(ann, channel.ID, "before", "before")
	w.join(bob, channel.ID)
	w.Settled()
	stored := w.appendMessages(ann, channel.ID, "one", "two")
	w.appendMessages(bob, channel.ID, "my own")
	w.appendMessages(ann, channel.ID, "three")
	check := func(unread int, lastSeq int64) {
		t.Helper()
		var s summary
		w.get("/v1/channels/"+channel.ID.String(), bob.Token).into(t, 200, &s)
		if s.Unread != unread || s.LastSeq != lastSeq {
			t.Errorf("unread %d of %d, want %d of %d", s.Unread, s.LastSeq, unread, lastSeq)
		}
		if s.JoinedSeq != 3 {
			t.Errorf("joined at %d, want 3", s.JoinedSeq)
		}
	}
	check(3, 8)
	for _, e := range stored { // seqs 5 and 6, stored the way sync-service does it
		w.store(e)
	}
	check(3, 8)
	w.Exec("update channel_members set last_read_seq = 5 where user_id = $1", bob.ID.String())
	check(2, 8)
	w.Redis.Stop(t)
	check(1, 6) // according to PostgreSQL
	w.Redis.Start(t)
	testkit.Until(t, testkit.Timeout, func() error { return w.RDB.Ping(context.Background()).Err() })
	check(2, 8)
}

// store inserts the row of a message.
func (w *world) store(e frame.Event) {
	w.T.Helper()
	w.Exec(`insert into messages (channel_id, seq, id, kind, sender_id, client_id, body, data, sent_at)
		values ($1, $2, $3, $4, $5, $6, $7, jsonb_build_object('sender_name', $8::text), $9) on conflict do nothing`,
		e.ChannelID.String(), e.Seq, e.ID.String(), string(e.Type), e.SenderID.String(), e.ClientID.String(), e.Body, e.SenderName, e.SentAt.Time)
}

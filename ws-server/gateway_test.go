package wsserver_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	wsserver "parley.chat/ws-server"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/internal/platform/browser"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/notice"
)

func TestSend_reachesEveryInstanceInOrder(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	one, _ := w.gateway()
	two, _ := w.gateway()
	a, hello := w.connect(one, ann)
	b, _ := w.connect(two, bob)

	if len(hello.Channels) != 1 || hello.Channels[0].ChannelID != c || hello.Channels[0].LastSeq != 0 || hello.Channels[0].Epoch == "" {
		t.Fatalf("hello: %s", hello.Raw)
	}
	const n = 200
	for i := range n {
		a.Say(t, c, body(i))
	}
	a.AwaitSeq(t, c, 1, n)
	b.AwaitSeq(t, c, 1, n)
	acks := 0
	for _, f := range a.Frames() {
		if f.Type == "ack" {
			acks++
			if f.Seq != int64(acks) || f.Duplicate {
				t.Fatalf("ack %d: %s", acks, f.Raw)
			}
		}
	}
	if acks != n {
		t.Fatalf("%d acks, want %d", acks, n)
	}
	for i, f := range b.Events(c) {
		if f.Body != body(i) || f.SenderID != ann.ID {
			t.Fatalf("event %d: %s", i, f.Raw)
		}
	}
}

func TestSend_retryGetsTheFirstAckOnAnyInstance(t *testing.T) {
	t.Parallel()
	w, ann, c := newSolo(t)
	one, _ := w.gateway()
	two, _ := w.gateway()
	a, _ := w.connect(one, ann)
	b, _ := w.connect(two, ann)
	id := chat.NewClientID()
	send := func(conn *wstest.Conn, ref, text string) wstest.Frame {
		conn.Send(t, map[string]any{"type": "send", "ref": ref, "channel_id": c, "client_id": id, "body": text})
		return conn.AwaitRef(t, ref)
	}
	first := send(a, "1", "hello")
	again := send(b, "2", "hello")
	if again.ID != first.ID || again.Seq != first.Seq || !again.Duplicate || first.Duplicate {
		t.Errorf("retry: %s after %s", again.Raw, first.Raw)
	}
	if other := send(b, "3", "something else"); other.Code != "conflict" {
		t.Errorf("other content: %s", other.Raw)
	}
	if next := a.AwaitRef(t, a.Say(t, c, "next").String()); next.Seq != 2 {
		t.Errorf("the retry or the conflict took a seq: %s", next.Raw)
	}
}

func TestBadInput_getsAClearErrorAndTheConnectionGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, eve := w.person("ann"), w.person("eve")
	mine := w.channel(chat.Public, ann)
	open := w.channel(chat.Public, eve)
	hidden := w.channel(chat.Private, eve)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	id := chat.NewClientID()
	for _, tt := range []struct{ name, frame, code, says string }{
		{"not JSON", `{"type":"send",`, "bad_frame", "JSON"},
		{"blank body", fmt.Sprintf(`{"type":"send","ref":"x","channel_id":%q,"client_id":%q,"body":" \n "}`, mine, id), "invalid_body", "blank"},
		{"control character", fmt.Sprintf(`{"type":"send","ref":"x","channel_id":%q,"client_id":%q,"body":"a\u0000b"}`, mine, id), "invalid_body", "U+0000"},
		{"body too large", fmt.Sprintf(`{"type":"send","ref":"x","channel_id":%q,"client_id":%q,"body":%q}`, mine, id, strings.Repeat("x", 16<<10+1)), "too_large", "16384"},
		{"no body", fmt.Sprintf(`{"type":"send","ref":"x","channel_id":%q,"client_id":%q}`, mine, id), "bad_frame", "body"},
		{"no client id", fmt.Sprintf(`{"type":"send","ref":"x","channel_id":%q,"body":"a"}`, mine), "bad_frame", "client_id"},
		{"invalid id", `{"type":"send","ref":"x","channel_id":"nope","client_id":"1","body":"a"}`, "bad_frame", "UUID"},
		{"wrong type", fmt.Sprintf(`{"type":"send","ref":"x","channel_id":%q,"client_id":%q,"body":7}`, mine, id), "bad_frame", "body"},
		{"unknown type", `{"type":"dance","ref":"x"}`, "bad_frame", "dance"},
		{"unknown channel", fmt.Sprintf(`{"type":"send","ref":"x","channel_id":%q,"client_id":%q,"body":"a"}`, chat.NewChannelID(), id), "not_found", "channel"},
		{"not a member", fmt.Sprintf(`{"type":"send","ref":"x","channel_id":%q,"client_id":%q,"body":"a"}`, open, id), "forbidden", "member"},
		{"hidden", fmt.Sprintf(`{"type":"send","ref":"x","channel_id":%q,"client_id":%q,"body":"a"}`, hidden, id), "not_found", "channel"},
		{"subscribe to a hidden channel", fmt.Sprintf(`{"type":"subscribe","ref":"x","channel_id":%q}`, hidden), "not_found", "channel"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a.Send(t, tt.frame)
			f := a.AwaitType(t, "error")
			if f.Code != tt.code || !strings.Contains(f.Message, tt.says) {
				t.Errorf("got %s, want %s with %q in its message", f.Raw, tt.code, tt.says)
			}
			if strings.HasPrefix(f.Message, "The field ") != strings.Contains(string(f.Raw), `"errors":[{"field":"`) {
				t.Errorf("a message about a field must come with its code, and no other message: %s", f.Raw)
			}
			if strings.Contains(tt.frame, `"ref":"x"`) && f.Ref != "x" {
				t.Errorf("the ref is missing: %s", f.Raw)
			}
			a.Send(t, `{"type":"ping","ref":"p"}`) // a valid frame resets the count of bad frames
			a.AwaitRef(t, "p")
		})
	}
	// When one of several channels is refused, the error names it.
	a.Send(t, fmt.Sprintf(`{"type":"subscribe","ref":"s","channels":[{"channel_id":%q},{"channel_id":%q}]}`, hidden, mine))
	if f := a.AwaitType(t, "error"); f.Code != "not_found" || f.Ref != "s" || f.ChannelID != hidden {
		t.Errorf("subscribe to a hidden channel and another: %s", f.Raw)
	}
	a.AwaitType(t, "subscribed")
	if ack := a.AwaitRef(t, a.Say(t, mine, "still here").String()); ack.Type != "ack" || ack.Seq != 1 {
		t.Errorf("after the errors: %s", ack.Raw)
	}
}

func TestProtocolViolation_closesWithItsCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("ann")
	w.channel(chat.Public, ann)
	url, _ := w.gateway()
	for _, tt := range []struct {
		name string
		do   func(*wstest.Conn) error
		code int
	}{
		{"frame over the limit", func(c *wstest.Conn) error {
			return c.Write(websocket.TextMessage, []byte(`{"type":"ping","ref":"`+strings.Repeat("x", 128<<10)+`"}`))
		}, 1009},
		{"invalid UTF-8", func(c *wstest.Conn) error {
			return c.Write(websocket.TextMessage, []byte("{\"type\":\"ping\",\"ref\":\"\xff\"}"))
		}, 1007},
		{"ten bad frames", func(c *wstest.Conn) (err error) {
			for range 10 {
				err = c.Write(websocket.BinaryMessage, []byte("x"))
			}
			return err
		}, 1008},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := w.connect(url, ann)
			if err := tt.do(c); err != nil {
				t.Fatal(err)
			}
			if code, why := c.AwaitClose(t); code != tt.code {
				t.Errorf("closed with %d %q, want %d", code, why, tt.code)
			}
		})
	}
}

func TestTokens_areVerified(t *testing.T) {
	t.Parallel()
	w, ann, c := newSolo(t)
	url, _ := w.gateway()
	foreign, err := token.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	foreign.ID = w.key.ID
	sign := func(i *token.Issuer) string {
		raw, _, err := i.Issue(token.Claims{UserID: ann.ID, SessionID: ann.Session, Username: ann.Name})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	// A token that chat-service signs while its clock is ahead of this gateway's clock.
	ahead := func(by time.Duration) string {
		at := time.Now().Add(by)
		part := func(claims map[string]any) string {
			b, err := json.Marshal(claims)
			if err != nil {
				t.Fatal(err)
			}
			return base64.RawURLEncoding.EncodeToString(b)
		}
		raw := part(map[string]any{"alg": "EdDSA", "kid": w.key.ID}) + "." + part(map[string]any{
			"iss": token.Name, "aud": token.Name, "sub": ann.ID, "sid": ann.Session, "preferred_username": ann.Name,
			"iat": at.Unix(), "nbf": at.Unix(), "exp": at.Add(token.DefaultTTL).Unix(),
		})
		return raw + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(w.key.Private, []byte(raw)))
	}
	parts := strings.Split(ann.Token, ".")
	none := "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + parts[1] + "."
	for _, tt := range []struct {
		name, raw string
		code      int
	}{
		{"expired", sign(token.NewIssuer(w.key, -time.Hour)), 4001},
		{"foreign key", sign(token.NewIssuer(foreign, time.Hour)), 4501},
		{"alg none", none, 4501},
		{"garbage", "garbage", 4501},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := wstest.Dial(t, url+"/ws", tt.raw)
			if code, why := conn.AwaitClose(t); code != tt.code {
				t.Errorf("/ws: closed with %d %q, want %d", code, why, tt.code)
			}
			_, resp, err := wstest.TryDial(t, url+"/ws/"+c.String(), header("Authorization", "Bearer "+tt.raw))
			if err == nil || resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("/ws/{channel_id}: %v %v, want 401", resp, err)
			}
		})
	}
	t.Run("a token from the future", func(t *testing.T) {
		wstest.Dial(t, url+"/ws", ahead(8*time.Second)).AwaitType(t, "hello")
		conn := wstest.Dial(t, url+"/ws", ahead(3*time.Minute))
		if code, why := conn.AwaitClose(t); code != 4000 {
			t.Errorf("/ws: closed with %d %q, want 4000, after which the client retries", code, why)
		}
		_, resp, err := wstest.TryDial(t, url+"/ws/"+c.String(), header("Authorization", "Bearer "+ahead(3*time.Minute)))
		if err == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("/ws/{channel_id}: %v %v, want 503 with Retry-After", resp, err)
		}
	})
	t.Run("first frame", func(t *testing.T) {
		conn := wstest.Dial(t, url+"/ws", "")
		conn.Send(t, map[string]any{"type": "auth", "token": ann.Token})
		conn.AwaitType(t, "hello")
	})
	t.Run("first frame is something else", func(t *testing.T) {
		conn := wstest.Dial(t, url+"/ws", "")
		conn.Send(t, `{"type":"ping"}`)
		if code, _ := conn.AwaitClose(t); code != 4501 {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("cookie", func(t *testing.T) {
		cookie := "access_token=" + ann.Token
		host := strings.TrimPrefix(url, "ws://")
		conn, _, err := wstest.TryDial(t, url+"/ws", header("Cookie", cookie, "Origin", "http://"+host))
		if err != nil {
			t.Fatal(err)
		}
		conn.AwaitType(t, "hello")
		_, resp, err := wstest.TryDial(t, url+"/ws", header("Cookie", cookie, "Origin", "https://evil.example"))
		if err == nil || resp.StatusCode != http.StatusForbidden {
			t.Errorf("foreign origin: %v %v, want 403", resp, err)
		}
		secure := []string{"Cookie", "__Host-" + cookie, "X-Forwarded-Proto", "https", "Origin"}
		conn, _, err = wstest.TryDial(t, url+"/ws", header(append(secure, "https://"+host)...))
		if err != nil {
			t.Fatal(err)
		}
		conn.AwaitType(t, "hello")
		_, resp, err = wstest.TryDial(t, url+"/ws", header(append(secure, "http://"+host)...))
		if err == nil || resp.StatusCode != http.StatusForbidden {
			t.Errorf("our host over http, for a page over https: %v %v, want 403", resp, err)
		}
	})
	t.Run("two cookies", func(t *testing.T) {
		cookie := "access_token=" + ann.Token
		conn, _, err := wstest.TryDial(t, url+"/ws", header("Cookie", cookie+"; "+cookie))
		if err != nil {
			t.Fatal(err)
		}
		if code, why := conn.AwaitClose(t); code != 4501 {
			t.Errorf("/ws: closed with %d %q, want 4501", code, why)
		}
		_, resp, err := wstest.TryDial(t, url+"/ws/"+c.String(), header("Cookie", cookie+"; "+cookie))
		if err == nil || resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("/ws/{channel_id}: %v %v, want 401", resp, err)
		}
	})
	t.Run("scheme in lower case", func(t *testing.T) {
		for _, path := range []string{"/ws", "/ws/" + c.String()} {
			conn, _, err := wstest.TryDial(t, url+path, header("Authorization", "bearer "+ann.Token))
			if err != nil {
				t.Fatal(err)
			}
			conn.AwaitType(t, "hello")
		}
	})
	t.Run("another host", func(t *testing.T) {
		url, _ := w.gateway(func(cfg *wsserver.Config) { cfg.PublicHosts = browser.Hosts{"chat.example"} })
		for _, path := range []string{"/ws", "/ws/" + c.String()} {
			_, resp, err := wstest.TryDial(t, url+path, header("Authorization", "Bearer "+ann.Token))
			if err == nil || resp.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("%s: %v %v, want 421", path, resp, err)
			}
		}
	})
}

func TestChannelSocket_refusesBeforeTheUpgrade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, eve := w.person("ann"), w.person("eve")
	mine, open, hidden := w.channel(chat.Public, ann), w.channel(chat.Unlisted, eve), w.channel(chat.Private, eve)
	url, _ := w.gateway()
	for _, tt := range []struct {
		name, path, token string
		status            int
	}{
		{"no token", mine.String(), "", 401},
		{"no such channel", chat.NewChannelID().String(), ann.Token, 404},
		{"no id", "lobby", ann.Token, 404},
		{"hidden", hidden.String(), ann.Token, 404},
		{"not joined", open.String(), ann.Token, 403},
	} {
		h := http.Header{}
		if tt.token != "" {
			h.Set("Authorization", "Bearer "+tt.token)
		}
		_, resp, err := wstest.TryDial(t, url+"/ws/"+tt.path, h)
		if err == nil || resp == nil || resp.StatusCode != tt.status {
			t.Errorf("%s: %v, %v; want %d", tt.name, resp, err, tt.status)
		}
	}
	conn := wstest.Dial(t, url+"/ws/"+mine.String(), ann.Token)
	if hello := conn.AwaitType(t, "hello"); len(hello.Channels) != 1 || hello.Channels[0].ChannelID != mine {
		t.Errorf("hello: %s", hello.Raw)
	}
	conn.Say(t, mine, "hi")
	conn.AwaitSeq(t, mine, 1, 1)
}

func TestResume_deliversMissedEventsOnce(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	one, _ := w.gateway()
	two, _ := w.gateway()
	a, _ := w.connect(one, ann)
	say := func(n int) {
		for i := range n {
			a.Say(t, c, body(i))
		}
	}
	say(900)
	a.AwaitSeq(t, c, 1, 900)

	b := w.resume(two, bob, c, 40) // read from the tail, since the instance was not live in the channel
	say(100)                       // during the replay
	if f := b.AwaitRef(t, "r"); f.Type != "subscribed" || !f.Recovered || f.HasMore || f.LastSeq < 900 {
		t.Fatalf("answer: %s", f.Raw)
	}
	b.AwaitSeq(t, c, 41, 1000)

	b2 := w.resume(two, bob, c, 990) // from the ring
	b2.AwaitSeq(t, c, 991, 1000)

	again := w.resume(two, bob, c, 5) // 995 missed events are still replayed
	again.AwaitSeq(t, c, 6, 1000)
	say(10)
	a.AwaitSeq(t, c, 1, 1010)
	late := w.resume(two, bob, c, 5)
	if f := late.AwaitRef(t, "r"); !f.HasMore || f.Recovered || f.LastSeq != 1010 {
		t.Fatalf("more than a thousand missed: %s", f.Raw)
	}
	say(1)
	late.AwaitSeq(t, c, 1011, 1011)

	ahead := w.resume(two, bob, c, 5000)
	if f := ahead.AwaitRef(t, "r"); f.Type != "resync" || f.LastSeq != 1011 {
		t.Fatalf("from a seq in the future: %s", f.Raw)
	}
}

func TestResubscribe_startsAgainWithoutRepeats(t *testing.T) {
	t.Parallel()
	w, ann, c := newSolo(t)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	for i := range 5 {
		a.Say(t, c, body(i))
	}
	a.AwaitSeq(t, c, 1, 5)
	a.Send(t, map[string]any{"type": "subscribe", "ref": "again", "channel_id": c})
	if f := a.AwaitRef(t, "again"); f.Type != "subscribed" || f.LastSeq != 5 {
		t.Fatalf("%s", f.Raw)
	}
	before := len(a.Events(c))
	a.Send(t, map[string]any{"type": "subscribe", "ref": "from2", "channel_id": c, "last_seen_seq": 2})
	a.AwaitRef(t, "from2")
	a.Say(t, c, "six")
	testkit.Until(t, testkit.Timeout, func() error {
		events := a.Events(c)[before:]
		for i, e := range events {
			if e.Seq != int64(3+i) {
				t.Fatalf("event %d has seq %d", i, e.Seq)
			}
		}
		if len(events) < 4 {
			return fmt.Errorf("%d events", len(events))
		}
		return nil
	})
	a.Send(t, map[string]any{"type": "unsubscribe", "ref": "u", "channel_id": c})
	a.AwaitRef(t, "u")
	a.Send(t, map[string]any{"type": "unsubscribe", "ref": "u2", "channel_id": c})
	if f := a.AwaitRef(t, "u2"); f.Code != "not_subscribed" {
		t.Errorf("%s", f.Raw)
	}
}

func TestLostPublications_areHealedInOrder(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	const n = 600
	for i := range n {
		a.Say(t, c, body(i))
		if i%10 == 0 { // at every tenth message rather than at intervals, because a slow machine needs time to reconnect
			if err := w.rdb.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
				t.Fatal(err)
			}
		}
		if i%50 == 0 {
			a.Await(t, "an ack", func(f wstest.Frame) bool { return f.Type == "ack" && f.Seq == int64(i+1) })
		}
	}
	a.Await(t, "the last ack", func(f wstest.Frame) bool { return f.Type == "ack" && f.Seq == n })
	a.AwaitSeq(t, c, 1, n)
	b.AwaitSeq(t, c, 1, n)
}

func TestNotices_reachTheUsersConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	c := w.channel(chat.Private, ann)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)

	w.join(c, bob)
	w.notify(notice.Notice{Kind: notice.ChannelAdded, UserID: bob.ID, ChannelID: &c, By: &ann.ID})
	if f := b.AwaitType(t, "membership"); f.Change != "added" || f.ChannelID != c {
		t.Fatalf("%s", f.Raw)
	}
	a.Say(t, c, "welcome")
	b.AwaitSeq(t, c, 1, 1)

	w.exec(`delete from channel_members where user_id = $1`, bob.ID.UUID)
	w.notify(notice.Notice{Kind: notice.ChannelRemoved, UserID: bob.ID, ChannelID: &c, By: &ann.ID})
	b.Await(t, "removal", func(f wstest.Frame) bool { return f.Type == "membership" && f.Change == "removed" })
	// The subscription ends even without a member_left event.
	testkit.Until(t, testkit.Timeout, func() error {
		seen := len(b.Events(c))
		ack := a.AwaitRef(t, a.Say(t, c, "between us").String())
		a.AwaitSeq(t, c, 1, ack.Seq)
		b.Send(t, `{"type":"ping","ref":"p"}`)
		b.AwaitRef(t, "p")
		if len(b.Events(c)) != seen {
			return fmt.Errorf("still subscribed")
		}
		return nil
	})

	other := ann
	other.Session = chat.NewSessionID()
	other.Token = w.token(other)
	a2, _ := w.connect(url, other)
	w.notify(notice.Notice{Kind: notice.SessionRevoked, UserID: ann.ID, SessionID: &ann.Session})
	if code, _ := a.AwaitClose(t); code != 4509 {
		t.Errorf("revoked: closed with %d", code)
	}
	a2.Send(t, `{"type":"ping","ref":"p"}`)
	a2.AwaitRef(t, "p")
}

// TestSlowConsumer_isClosedWithoutAffectingOthers floods a channel until the gateway closes the
// member that reads nothing. The close frame comes after the data that the sockets hold, and the
// gateway waits at most 20 s until it can send it, so the member then reads.
func TestSlowConsumer_isClosedWithoutAffectingOthers(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	reg := prometheus.NewRegistry()
	url, _ := w.gatewayWith(reg)
	a, _ := w.connect(url, ann)

	slow, _, err := websocket.DefaultDialer.Dial(url+"/ws", header("Authorization", "Bearer "+bob.Token))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, _, err := slow.ReadMessage(); err != nil { // reads hello, and then nothing until it is closed
		t.Fatal(err)
	}
	text := strings.Repeat("x", 16<<10)
	const batch, maxSent = 32, 4096 // 64 MB is more than the sockets' buffers and the queue hold
	sent := 0
	for ; value(t, reg, "parley_ws_slow_consumers_total") == 0; sent += batch {
		if sent >= maxSent {
			t.Fatalf("not closed after %d messages", sent)
		}
		for range batch {
			a.Say(t, c, text)
		}
		a.Await(t, "acks", func(f wstest.Frame) bool { return f.Type == "ack" && f.Seq == int64(sent+batch) })
	}
	for err == nil {
		_, _, err = slow.ReadMessage()
	}
	if !websocket.IsCloseError(err, 4008) {
		t.Errorf("the slow connection: %v, want 4008", err)
	}
	a.AwaitSeq(t, c, 1, int64(sent))
}

// value returns the value of a counter.
func value(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestDrain_losesNoAckAndAsksToReconnect(t *testing.T) {
	t.Parallel()
	w, ann, c := newSolo(t)
	one, stop := w.gateway()
	two, _ := w.gateway()
	a, _ := w.connect(one, ann)
	for i := range 100 {
		a.Say(t, c, body(i))
	}
	a.AwaitType(t, "ack")
	stop()
	code, why := a.AwaitClose(t)
	if code != 1012 || !strings.Contains(why, "reconnect_after_ms") {
		t.Errorf("closed with %d %q", code, why)
	}
	var last int64
	for _, f := range a.Frames() {
		if f.Type == "ack" {
			last = f.Seq
		}
	}
	b := w.resume(two, ann, c, 0)
	b.AwaitSeq(t, c, 1, last)
}

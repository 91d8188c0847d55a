package wsserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/platform/config"
	accesstoken "parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
	wsserver "parley.chat/ws-server"
)

// testsOf maps each code to the test in which the server sends it. TestCodes_haveTests compares it
// with the schema, the documentation and the tests.
var testsOf = map[string]string{
	"bad_frame":       "TestBadInput_getsAClearErrorAndTheConnectionGoesOn",
	"too_large":       "TestBadInput_getsAClearErrorAndTheConnectionGoesOn",
	"invalid_body":    "TestBadInput_getsAClearErrorAndTheConnectionGoesOn",
	"forbidden":       "TestBadInput_getsAClearErrorAndTheConnectionGoesOn",
	"not_found":       "TestBadInput_getsAClearErrorAndTheConnectionGoesOn",
	"conflict":        "TestSend_retryGetsTheFirstAckOnAnyInstance",
	"not_subscribed":  "TestResubscribe_startsAgainWithoutRepeats",
	"unauthenticated": "TestAuth_renewsTheTokenOfAnOpenConnection",
	"rate_limited":    "TestRateLimit_countsOverAllInstances",
	"overloaded":      "TestOverloaded_atTheBacklogBudget",
	"unavailable":     "TestPostgresDown_isReportedInFramesAndCloses",
	"internal":        "TestInternal_hidesTheCause",

	"1007": "TestProtocolViolation_closesWithItsCode",
	"1008": "TestProtocolViolation_closesWithItsCode",
	"1009": "TestProtocolViolation_closesWithItsCode",
	"1012": "TestDrain_losesNoAckAndAsksToReconnect",
	"4000": "TestPostgresDown_isReportedInFramesAndCloses",
	"4001": "TestAuth_renewsTheTokenOfAnOpenConnection",
	"4008": "TestSlowConsumer_isClosedWithoutAffectingOthers",
	"4010": "TestGapThatNoStoreFills_closesToResume",
	"4029": "TestTooManyConnections_areClosed",
	"4501": "TestTokens_areVerified",
	"4503": "TestChannelSocket_closesWhenTheMembershipEnds",
	"4509": "TestNotices_reachTheUsersConnections",
}

// proxyCodes are close codes that only a proxy in front of the gateway sends.
var proxyCodes = []string{"1001"}

// There must be a test for every error code of the schema and every close code of the
// documentation.
func TestCodes_haveTests(t *testing.T) {
	t.Parallel()
	want := schemaCodes(t)
	page := docsPage(t)
	_, section, _ := strings.Cut(page, "## Close codes")
	closes := regexp.MustCompile("(?m)^\\| `([0-9]{4})` \\|").FindAllStringSubmatch(section, -1)
	for _, m := range closes {
		if !slices.Contains(proxyCodes, m[1]) {
			want = append(want, m[1])
		}
	}
	for _, c := range apierr.Codes() { // package apierr has the same codes
		if n := c.CloseCode(); n != 0 && !slices.Contains(want, strconv.Itoa(n)) {
			t.Errorf("close code %d of %s is not in docs/websocket.md", n, c)
		}
	}
	tests := testSources(t)
	for _, code := range want {
		name, ok := testsOf[code]
		switch source := tests[name]; {
		case !ok:
			t.Errorf("no test for %s", code)
		case source == "":
			t.Errorf("%s: there is no test %s", code, name)
		case !strings.Contains(source, code):
			t.Errorf("%s: test %s does not contain the code", code, name)
		}
	}
	for code := range testsOf {
		if !slices.Contains(want, code) {
			t.Errorf("%s is in neither the schema nor the documentation", code)
		}
	}
}

// testSources returns the source text of every test function of the package.
func testSources(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]string)
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				tests[f.Name.Name] = string(source[set.Position(f.Pos()).Offset:set.Position(f.End()).Offset])
			}
		}
	}
	return tests
}

func theSchema(t testing.TB) *wstest.Schema {
	t.Helper()
	s, err := wstest.LoadSchema()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func schemaCodes(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(theSchema(t).Path)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Defs map[string]json.RawMessage `json:"$defs"`
	}
	var codes struct{ Enum []string }
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc.Defs["error_code"], &codes); err != nil {
		t.Fatal(err)
	}
	return codes.Enum
}

func docsPage(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(filepath.Dir(theSchema(t).Path), "websocket.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// docs/websocket.md must have a row for every code and an example of every frame type, and all its
// examples must conform to the schema.
func TestDocs_agreeWithTheSchema(t *testing.T) {
	t.Parallel()
	schema, page := theSchema(t), docsPage(t)
	for _, code := range schemaCodes(t) {
		if !strings.Contains(page, "| `"+code+"` |") {
			t.Errorf("no row for the error code %s", code)
		}
	}
	sides := []struct {
		arrow, name string
		check       func([]byte) error
	}{{"→ ", "client", schema.CheckClient}, {"← ", "server", schema.CheckServer}}
	for _, side := range sides {
		shown := make(map[string]bool)
		for n, line := range strings.Split(page, "\n") {
			example, ok := strings.CutPrefix(line, side.arrow)
			if !ok {
				continue
			}
			var f struct{ Type string }
			if err := json.Unmarshal([]byte(example), &f); err != nil {
				t.Errorf("line %d: %v", n+1, err)
			} else if err := side.check([]byte(example)); err != nil {
				t.Errorf("line %d: %v", n+1, err)
			}
			shown[f.Type] = true
		}
		for _, kind := range schema.Types(side.name) {
			if !shown[kind] {
				t.Errorf("no example of the %s's frame %s", side.name, kind)
			}
		}
	}
}

// The schema must accept what package frame encodes, including events that no gateway sends yet.
func TestSchema_acceptsEveryEvent(t *testing.T) {
	t.Parallel()
	schema := theSchema(t)
	id, user, c := chat.NewEventID(), chat.NewUserID(), chat.NewChannelID()
	for _, kind := range []event.Kind{
		event.Message, event.Edit, event.Delete, event.Reaction, event.MemberJoined, event.MemberLeft,
		event.ChannelUpdated, event.Gap, event.Failed, event.Lost, event.Noop,
	} {
		e := frame.Event{
			Type: kind, ChannelID: c, Seq: 3, ID: id, MessageID: &id, SenderID: user, UserID: &user, Username: "ann",
			Channel: json.RawMessage(`{"name":"tea"}`), Body: "hello", Emoji: "👍", RemovedBy: &user, From: 1, To: 2, SentAt: chat.Now(),
		}
		b, err := e.Encode()
		if err == nil {
			err = schema.CheckServer(b)
		}
		if err != nil {
			t.Errorf("%s: %s: %v", kind, b, err)
		}
	}
	for _, wrong := range []string{
		`{"type":"dance"}`, `{"type":"pong","surprise":1}`, `{"type":"pong","ref":7}`, `{}`, `[]`, `{"type":"error","code":"odd","message":"x"}`,
		`{"type":"unsubscribed","channel_id":"` + strings.ToUpper(c.String()) + `"}`,
		`{"type":"membership","channel_id":"` + c.String() + `","change":"added","by":"` + user.String() + `"}`,
	} {
		if schema.CheckServer([]byte(wrong)) == nil {
			t.Errorf("the schema accepts %s", wrong)
		}
	}
}

func TestAuth_renewsTheTokenOfAnOpenConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	url, _ := w.gateway()
	brief := ann
	raw, expires, err := accesstoken.NewIssuer(w.key, 3*time.Second).Issue(accesstoken.Claims{UserID: ann.ID, SessionID: ann.Session, Username: ann.Name})
	if err != nil {
		t.Fatal(err)
	}
	brief.Token = raw
	left, _ := w.connect(url, brief)
	renewed, _ := w.connect(url, brief)
	auth := func(what, raw, code string) {
		t.Helper()
		renewed.Send(t, map[string]any{"type": "auth", "ref": what, "token": raw})
		if f := renewed.AwaitRef(t, what); f.Code != code || code == "" && f.Type != "pong" {
			t.Errorf("%s: %s, want %q", what, f.Raw, code)
		}
	}
	auth("garbage", "garbage", "unauthenticated")
	auth("another's", bob.Token, "forbidden")
	auth("renewal", ann.Token, "")
	if code, why := left.AwaitClose(t); code != 4001 {
		t.Errorf("at expiry: closed with %d %q", code, why)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if now := time.Now(); now.Before(expires.Add(2 * time.Second)) { // two rounds of the heartbeat
			return fmt.Errorf("only %v", now)
		}
		return nil
	})
	renewed.Send(t, `{"type":"ping","ref":"p"}`)
	renewed.AwaitRef(t, "p")
}

func TestChannelSocket_closesWhenTheMembershipEnds(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	url, _ := w.gateway()
	b := wstest.Dial(t, url+"/ws/"+c.String(), bob.Token)
	b.AwaitType(t, "hello")
	all, _ := w.connect(url, bob)
	w.appendEvent(frame.Event{
		Type: event.MemberLeft, ChannelID: c, ID: chat.NewEventID(), SenderID: ann.ID, UserID: &bob.ID, Username: bob.Name, SentAt: chat.Now(),
	})
	if code, why := b.AwaitClose(t); code != 4503 {
		t.Errorf("closed with %d %q", code, why)
	}
	b.Await(t, "the event that ended it", func(f wstest.Frame) bool { return f.Type == "member_left" && f.UserID == bob.ID })
	all.AwaitType(t, "member_left") // a connection to /ws stays open
	all.Send(t, `{"type":"ping","ref":"p"}`)
	all.AwaitRef(t, "p")
}

// While PostgreSQL is down, new connections are asked to retry later, and frames that need
// PostgreSQL get "unavailable". Connected members can continue to chat.
func TestPostgresDown_isReportedInFramesAndCloses(t *testing.T) {
	t.Parallel()
	pg := schematest.NewServer(t)
	w := newWorldOn(t, &pg.DB)
	ann, bob := w.person("ann"), w.person("bob")
	c, other := w.channel(chat.Public, ann), w.channel(chat.Public, ann)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	a.Send(t, map[string]any{"type": "unsubscribe", "ref": "u", "channel_id": other})
	a.AwaitRef(t, "u")
	pg.Kill(t)
	for _, tt := range []struct{ name, frame string }{
		{"subscribe without a cached membership", fmt.Sprintf(`{"type":"subscribe","ref":"x","channel_id":%q}`, chat.NewChannelID())},
		{"direct message", fmt.Sprintf(`{"type":"send","ref":"x","to_user_id":%q,"client_id":%q,"body":"hi"}`, bob.ID, chat.NewClientID())},
		{"edit of a message in neither ring nor tail", fmt.Sprintf(`{"type":"edit","ref":"x","channel_id":%q,"client_id":%q,"message_id":%q,"body":"hi"}`, c, chat.NewClientID(), chat.NewEventID())},
	} {
		a.Send(t, tt.frame)
		if f := a.AwaitRef(t, "x"); f.Code != "unavailable" {
			t.Errorf("%s: %s", tt.name, f.Raw)
		}
	}
	say(t, a, c, "still here")
	a.AwaitSeq(t, c, 1, 1)
	again := wstest.Dial(t, url+"/ws", ann.Token)
	code, why := again.AwaitClose(t)
	if code != 4000 || !strings.Contains(why, `"reconnect_after_ms":`) {
		t.Errorf("a new connection: %d %q", code, why)
	}
	_, resp, err := wstest.TryDial(t, url+"/ws/"+c.String(), header("Authorization", "Bearer "+ann.Token))
	if err == nil || resp == nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("/ws/{channel_id}: %v, %v; want 503 with Retry-After", resp, err)
	}
}

func TestInternal_hidesTheCause(t *testing.T) {
	t.Parallel()
	w, ann, c := newSolo(t)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	// The stream key holds a value of another type, which only an operator could cause.
	if err := w.rdb.Set(t.Context(), rediskey.Stream(rediskey.Of(c.UUID, 16)), "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	f := a.AwaitRef(t, a.Say(t, c, "hi").String())
	if f.Code != "internal" || strings.Contains(string(f.Raw), "WRONGTYPE") {
		t.Errorf("%s", f.Raw)
	}
}

// If no store holds a missed event, the connection is closed, so that the client resumes. The
// client must not see a hole.
func TestGapThatNoStoreFills_closesToResume(t *testing.T) {
	t.Parallel() // this test waits until the replay times out
	w, ann, c := newSolo(t)
	one, _ := w.gateway()
	two, _ := w.gateway()
	a, _ := w.connect(one, ann)
	say(t, a, c, "one")
	say(t, a, c, "two")
	w.deleteTail(c)
	b := w.resume(two, ann, c, 0)
	if f := b.AwaitRef(t, "r"); f.Type != "subscribed" {
		t.Fatalf("%s", f.Raw)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if !b.Ended() && len(b.Frames()) < 1000 {
			return fmt.Errorf("still open")
		}
		return nil
	})
	if code, why := b.AwaitClose(t); code != 4010 {
		t.Errorf("closed with %d %q", code, why)
	}
	if events := b.Events(c); len(events) > 0 {
		t.Errorf("the client got %s", events[0].Raw)
	}
}

func TestTooManyConnections_areClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("ann")
	url, _ := w.gateway(func(cfg *wsserver.Config) { cfg.UserConnections = 1 })
	a, _ := w.connect(url, ann)
	if code, why := wstest.Dial(t, url+"/ws", ann.Token).AwaitClose(t); code != 4029 {
		t.Errorf("closed with %d %q", code, why)
	}
	a.Send(t, `{"type":"ping","ref":"p"}`)
	a.AwaitRef(t, "p")
}

// object is one object sent by a client, with the number of answers that the server owes.
type object struct {
	text                   string
	ref                    string // "" if no answer can carry it
	valid                  bool   // according to the schema
	minAnswers, maxAnswers int    // minimum and maximum number of answers with the ref
}

// objects generates random objects, valid and invalid.
type objects struct {
	*rand.Rand
	n        int
	channels []chat.ChannelID // with and without membership of the user
	messages []chat.EventID
	users    []chat.UserID
	token    string
}

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

// valid returns the fields of an object of a random type.
func (o *objects) valid() (fields map[string]any, minAnswers, maxAnswers int) {
	c := pick(o.Rand, o.channels)
	f := map[string]any{"channel_id": c}
	minAnswers, maxAnswers = 1, 1
	f["type"] = pick(o.Rand, []string{
		"send", "send", "edit", "delete", "react", "subscribe", "unsubscribe", "typing", "delivered", "read", "presence", "auth", "ping",
	})
	switch f["type"] {
	case "send":
		f["client_id"], f["body"] = chat.NewClientID(), pick(o.Rand, []string{"hello", "a\nb\tc", "<b>&\u2028👍", strings.Repeat("é", 4000)})
		switch o.IntN(4) {
		case 0:
			f["reply_to"] = pick(o.Rand, o.messages)
		case 1:
			delete(f, "channel_id")
			f["to_user_id"] = pick(o.Rand, o.users)
		}
	case "edit":
		f["client_id"], f["message_id"], f["body"] = chat.NewClientID(), pick(o.Rand, o.messages), "edited"
	case "delete":
		f["client_id"], f["message_id"] = chat.NewClientID(), chat.NewEventID()
	case "react":
		f["client_id"], f["message_id"], f["emoji"], f["remove"] = chat.NewClientID(), pick(o.Rand, o.messages), "👍", o.IntN(2) == 0
	case "subscribe":
		switch o.IntN(3) {
		case 0:
			f["last_seen_seq"] = o.IntN(5)
		case 1:
			delete(f, "channel_id")
			f["channels"] = []any{map[string]any{"channel_id": c}, map[string]any{"channel_id": pick(o.Rand, o.channels), "last_seen_seq": o.IntN(3), "epoch": "1-x"}}
			minAnswers, maxAnswers = 2, 2
		}
	case "typing":
		f["typing"] = o.IntN(2) == 0
		minAnswers = 0
	case "delivered", "read":
		f["seq"] = o.IntN(10)
		minAnswers = 0
	case "auth":
		delete(f, "channel_id")
		f["token"] = pick(o.Rand, []string{o.token, "garbage"})
	case "ping":
		delete(f, "channel_id")
	}
	if o.IntN(5) == 0 {
		f["of_a_newer_version"] = map[string]any{"type": "ping"}
	}
	return f, minAnswers, maxAnswers
}

// next returns a valid or an invalid object.
func (o *objects) next() object {
	o.n++
	f, minAnswers, maxAnswers := o.valid()
	out := object{ref: fmt.Sprintf("r%d", o.n), valid: true, minAnswers: minAnswers, maxAnswers: maxAnswers}
	f["ref"] = out.ref
	if o.IntN(3) == 0 && o.spoil(f) {
		out.valid, out.minAnswers, out.maxAnswers = false, 1, 1
	}
	b, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	out.text = string(b)
	return out
}

// spoil makes one field invalid. It returns false if there is no field to change.
func (o *objects) spoil(f map[string]any) bool {
	needed := map[string][]string{
		"send": {"client_id", "body"}, "edit": {"channel_id", "client_id", "message_id", "body"},
		"delete": {"channel_id", "client_id", "message_id"}, "react": {"channel_id", "client_id", "message_id", "emoji"},
		"unsubscribe": {"channel_id"}, "typing": {"channel_id", "typing"}, "delivered": {"channel_id", "seq"},
		"read": {"channel_id", "seq"}, "presence": {"channel_id"}, "auth": {"token"},
	}[f["type"].(string)]
	switch o.IntN(6) {
	case 0:
		if len(needed) == 0 {
			return false
		}
		delete(f, pick(o.Rand, needed))
	case 1:
		if len(needed) == 0 {
			return false
		}
		f[pick(o.Rand, needed)] = map[string]any{"no": "such thing"}
	case 2:
		if f["channel_id"] == nil {
			return false
		}
		f["channel_id"] = pick(o.Rand, []string{"", "nope", "00000000-0000-0000-0000-00000000000g"})
	case 3:
		f["type"] = pick(o.Rand, []string{"", "dance", "hello", "SEND"})
	case 4:
		switch f["type"] {
		case "delivered", "read":
			f["seq"] = -1
		case "subscribe":
			if f["channel_id"] == nil {
				return false
			}
			f["last_seen_seq"] = -1
		case "react":
			f["emoji"] = pick(o.Rand, []string{"", strings.Repeat("x", 65)})
		case "send", "edit":
			f["body"] = ""
		default:
			return false
		}
	case 5:
		switch f["type"] {
		case "send":
			f["channel_id"], f["to_user_id"] = o.channels[0], o.users[0]
		case "subscribe":
			f["channel_id"], f["channels"] = o.channels[0], []any{map[string]any{"channel_id": o.channels[0]}}
		default:
			return false
		}
	}
	return true
}

// Clients send frames with one or several random objects, valid and invalid. Each object with a ref
// must get exactly one answer with it: subscribe gets one per channel, typing and receipts get one
// only if they are refused. Each answer must conform to the schema, and other clients must not be
// affected.
func TestRandomFrames_eachRefIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.person("ann"), w.person("bob"), w.person("eve")
	c, d := w.channel(chat.Public, ann, bob), w.channel(chat.Private, ann, bob)
	foreign := w.channel(chat.Private, eve)
	url, _ := w.gateway(func(cfg *wsserver.Config) { cfg.FrameRate = config.Rate{} })
	bystander, _ := w.connect(url, bob)
	m := say(t, bystander, c, "hello")
	seed := rand.Uint64()
	schema := theSchema(t)

	talk := func(who person, seed uint64) {
		conn, _ := w.connect(url, who)
		o := &objects{
			Rand: rand.New(rand.NewPCG(seed, 0)), token: who.Token,
			channels: []chat.ChannelID{c, c, d, foreign, chat.NewChannelID()},
			messages: []chat.EventID{m.ID, chat.NewEventID()}, users: []chat.UserID{ann.ID, bob.ID, eve.ID, chat.NewUserID()},
		}
		var sent []object
		for range 150 {
			var batch []string
			for range 1 + o.IntN(4) {
				next := o.next()
				if err := schema.CheckClient([]byte(next.text)); (err == nil) != next.valid {
					t.Errorf("seed %d: the schema returns %v for %s", seed, err, next.text)
				}
				sent = append(sent, next)
				batch = append(batch, next.text)
			}
			switch o.IntN(10) {
			case 0:
				batch = append(batch, pick(o.Rand, []string{`7`, `null`, `[]`, `"x"`, `{"type":`, `nonsense`}))
			case 1:
				if err := conn.Write(websocket.BinaryMessage, []byte{1, 2, 3}); err != nil {
					t.Errorf("seed %d: %v", seed, err)
					return
				}
			}
			if err := conn.TrySend(strings.Join(batch, "\n")); err != nil {
				t.Errorf("seed %d: %v", seed, err)
				return
			}
			// A valid frame resets the count of bad frames.
			if err := conn.TrySend(`{"type":"ping"}`); err != nil {
				t.Errorf("seed %d: %v", seed, err)
				return
			}
		}
		answers := func() map[string]int {
			n := make(map[string]int)
			for _, f := range conn.Frames() {
				if f.Ref != "" {
					n[f.Ref]++
				}
			}
			return n
		}
		deadline := time.Now().Add(30 * time.Second)
		for ping := 0; ; ping++ {
			// The gateway handles frames in order, so after this answer only acks are outstanding.
			ref := fmt.Sprintf("p%d", ping)
			err := conn.TrySend(map[string]any{"type": "ping", "ref": ref})
			if err == nil {
				_, err = conn.TryAwait(30*time.Second, func(f wstest.Frame) bool { return f.Ref == ref })
			}
			if err != nil {
				t.Errorf("seed %d: %v", seed, err)
				return
			}
			got, missing := answers(), ""
			for _, s := range sent {
				if got[s.ref] < s.minAnswers {
					missing = s.text
				}
				if got[s.ref] > s.maxAnswers {
					t.Errorf("seed %d: %d answers to %s", seed, got[s.ref], s.text)
				}
			}
			if missing == "" || t.Failed() {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("seed %d: no answer to %s", seed, missing)
				return
			}
		}
	}
	var talks sync.WaitGroup
	talks.Go(func() { talk(ann, seed) })
	talks.Go(func() { talk(bob, seed+1) })
	talks.Wait()
	last := say(t, bystander, c, "all well")
	bystander.AwaitSeq(t, c, 1, last.Seq)
}

// FuzzGateway sends arbitrary bytes as one frame to a real gateway. The gateway must answer it, or
// close the connection as documented, and keep working.
func FuzzGateway(f *testing.F) {
	w := newWorld(f)
	ann := w.person("ann")
	c := w.channel(chat.Public, ann)
	url, _ := w.gateway(func(cfg *wsserver.Config) { cfg.FrameRate, cfg.UserConnections = config.Rate{}, 0 })
	for _, seed := range []string{
		fmt.Sprintf(`{"type":"send","ref":"1","channel_id":%q,"client_id":%q,"body":"hello"}`, c, chat.NewClientID()),
		fmt.Sprintf(`{"type":"subscribe","channels":[{"channel_id":%q,"last_seen_seq":0}]}`+"\n"+`{"type":"ping"}`, c),
		fmt.Sprintf(`{"type":"react","channel_id":%q,"client_id":%q,"message_id":%q,"emoji":"x"}`, c, chat.NewClientID(), chat.NewEventID()),
		`{"type":"auth","token":"x"}`, `{"type":"typing","channel_id":"` + c.String() + `","typing":true}`, "", "\n", "\xff", "[[[[[[", `{"ref":1e999}`, "null\nnull",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		conn := wstest.Dial(t, url+"/ws", ann.Token)
		conn.AwaitType(t, "hello")
		_ = conn.Write(websocket.TextMessage, b)
		_ = conn.TrySend(`{"type":"ping","ref":"the end of it"}`)
		_, err := conn.TryAwait(testkit.Timeout, func(f wstest.Frame) bool { return f.Ref == "the end of it" })
		var want int
		switch {
		case len(b) > frame.MaxClientBytes:
			want = 1009
		case !utf8.Valid(b):
			want = 1007
		case len(b) >= 10 && err != nil: // enough bytes for ten bad objects, which need few bytes each
			want = 1008
		}
		switch {
		case err == nil && want != 0:
			t.Errorf("the frame was accepted: %.200q", b)
		case err != nil:
			if code, why := conn.AwaitClose(t); code != want {
				t.Errorf("closed with %d %q by %.200q", code, why, b)
			}
		}
	})
}

// appendEvent appends an event as chat-service's relay does.
func (w *world) appendEvent(e frame.Event) {
	w.t.Helper()
	id := chat.ClientID{UUID: e.ID.UUID}
	e.ClientID = &id
	a := appender.New(w.log, w.rdb, nil, appender.Config{})
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = a.Run(ctx) }) // it returns only when ctx is done
	defer running.Wait()
	defer cancel()
	if _, err := a.Append(ctx, e, appender.Options{}); err != nil {
		w.t.Fatal(err)
	}
}

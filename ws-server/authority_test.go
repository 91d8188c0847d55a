package wsserver_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/internal/platform/config"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-migrations/schematest"
	wsserver "parley.chat/ws-server"
)

// neverVerify turns off the periodic verification, so that changes take effect only through
// notices.
func neverVerify(cfg *wsserver.Config) { cfg.VerifyEvery = 10 * time.Hour }

// changeRole changes a role as chat-service does.
func (w *world) changeRole(c chat.ChannelID, p person, role chat.Role) {
	w.t.Helper()
	w.setRole(c, p, role)
	w.notify(notice.Notice{Kind: notice.RoleChanged, UserID: p.ID, ChannelID: &c})
}

// expel removes a member as chat-service does.
func (w *world) expel(c chat.ChannelID, p person) {
	w.t.Helper()
	w.exec(`delete from channel_members where channel_id = $1 and user_id = $2`, c.UUID, p.ID.UUID)
	w.appendEvent(frame.Event{
		Type: event.MemberLeft, ChannelID: c, ID: chat.NewEventID(), SenderID: p.ID, UserID: &p.ID, Username: p.Name, SentAt: chat.Now(),
	})
	w.notify(notice.Notice{Kind: notice.ChannelRemoved, UserID: p.ID, ChannelID: &c})
}

// unblock lifts a block as chat-service does.
func (w *world) unblock(who, whom person) {
	w.t.Helper()
	w.exec(`delete from contacts where user_id = $1 and contact_id = $2`, who.ID.UUID, whom.ID.UUID)
	for _, p := range []person{who, whom} {
		w.notify(notice.Notice{Kind: notice.Blocked, UserID: p.ID, By: &who.ID})
	}
}

// suspend ends a session as chat-service does.
func (w *world) suspend(p person) {
	w.t.Helper()
	w.notify(notice.Notice{Kind: notice.SessionRevoked, UserID: p.ID, SessionID: &p.Session})
}

// clientTypes returns every frame type that a client may send, as declared in package frame.
func clientTypes(t *testing.T) (types []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../shared-contracts/frame/client.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST {
			continue
		}
		for _, s := range decl.Specs {
			spec := s.(*ast.ValueSpec)
			if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Type" {
				text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				types = append(types, text)
			}
		}
	}
	if len(types) < 10 {
		t.Fatalf("found only these types in package frame: %q", types)
	}
	return types
}

// accessFixture is the setup for the access matrix: a channel and a direct channel. In both, eve
// and ann have sent messages, which the frames under test may change.
type accessFixture struct {
	w            *world
	eve, ann     person // the user whose access changes, and the owner
	room, direct chat.ChannelID
	own, others  chat.EventID // messages in the room, sent by eve and by ann
	ownDirect    chat.EventID // eve's message in the direct channel
}

func (s *accessFixture) frame(kind string, c chat.ChannelID) map[string]any {
	own := s.own
	if c == s.direct {
		own = s.ownDirect
	}
	f := map[string]any{"type": kind, "channel_id": c}
	switch kind {
	case "send":
		f["client_id"], f["body"] = chat.NewClientID(), "hello"
	case "edit":
		f["client_id"], f["message_id"], f["body"] = chat.NewClientID(), own, "hello!"
	case "delete":
		f["client_id"], f["message_id"] = chat.NewClientID(), own
		if c == s.room {
			f["message_id"] = s.others
		}
	case "react":
		f["client_id"], f["message_id"], f["emoji"] = chat.NewClientID(), own, "👍"
	case "typing":
		f["typing"] = true
	case "delivered", "read":
		f["seq"] = 1
	case "auth":
		f = map[string]any{"type": kind, "token": s.eve.Token}
	case "ping":
		f = map[string]any{"type": kind}
	}
	return f
}

// ask sends a frame and returns the result: "ok", an error's code, or "closed". If a frame gets no
// answer, ask sends a ping after it.
func ask(t *testing.T, conn *wstest.Conn, f map[string]any) string {
	t.Helper()
	ref, behind := chat.NewClientID().String(), chat.NewClientID().String()
	f["ref"] = ref
	silent := slices.Contains([]any{"typing", "delivered", "read"}, f["type"])
	if conn.TrySend(f) != nil || conn.TrySend(map[string]any{"type": "ping", "ref": behind}) != nil {
		return "closed"
	}
	got, err := conn.TryAwait(60*time.Second, func(f wstest.Frame) bool { return f.Ref == ref || silent && f.Ref == behind })
	switch {
	case err != nil && isOpen(conn):
		t.Fatalf("%v: no answer", f)
	case err != nil:
		return "closed"
	case got.Type == "error":
		return got.Code
	}
	return "ok"
}

// isOpen reports whether a connection answers a ping.
func isOpen(conn *wstest.Conn) bool {
	ref := chat.NewClientID().String()
	if conn.TrySend(map[string]any{"type": "ping", "ref": ref}) != nil {
		return false
	}
	_, err := conn.TryAwait(60*time.Second, func(f wstest.Frame) bool { return f.Ref == ref })
	return err == nil
}

// accessMatrix holds the result of each frame type before and after a change to its sender: demoted
// from admin to member, removed from the channel, blocked by the other user of the direct channel
// (the frame is then sent there), and suspended.
var accessMatrix = map[string]struct{ before, demoted, removed, blocked, suspended string }{
	"send": {"ok", "ok", "forbidden", "forbidden", "closed"},
	"edit": {"ok", "ok", "forbidden", "forbidden", "closed"},
	// Deletes another user's message; in the direct channel, the sender's own.
	"delete":      {"ok", "forbidden", "forbidden", "ok", "closed"},
	"react":       {"ok", "ok", "forbidden", "forbidden", "closed"},
	"subscribe":   {"ok", "ok", "forbidden", "ok", "closed"},
	"typing":      {"ok", "ok", "not_subscribed", "ok", "closed"}, // if there is a block, it reaches nobody
	"delivered":   {"ok", "ok", "forbidden", "ok", "closed"},
	"read":        {"ok", "ok", "forbidden", "ok", "closed"},
	"presence":    {"ok", "ok", "not_subscribed", "ok", "closed"}, // the answer names no blocked user
	"unsubscribe": {"ok", "ok", "not_subscribed", "ok", "closed"},
	"auth":        {"ok", "ok", "ok", "ok", "closed"},
	"ping":        {"ok", "ok", "ok", "ok", "closed"},
}

func TestAccess_changesTakeEffectOnOpenConnections(t *testing.T) {
	t.Parallel()
	types := clientTypes(t)
	for _, kind := range types {
		if _, known := accessMatrix[kind]; !known {
			t.Errorf("the table has no row for frame type %s", kind)
		}
	}
	w := newWorld(t)
	gateways := make([]string, 2)
	for i := range gateways {
		gateways[i], _ = w.gateway(neverVerify)
	}
	changes := []struct {
		name   string
		direct bool
		make   func(*accessFixture)
		want   func(kind string) string
	}{
		{"demoted", false, func(s *accessFixture) { w.changeRole(s.room, s.eve, chat.Member) }, func(k string) string { return accessMatrix[k].demoted }},
		{"removed", false, func(s *accessFixture) { w.expel(s.room, s.eve) }, func(k string) string { return accessMatrix[k].removed }},
		{"blocked", true, func(s *accessFixture) { w.block(s.ann, s.eve, true) }, func(k string) string { return accessMatrix[k].blocked }},
		{"suspended", false, func(s *accessFixture) { w.suspend(s.eve) }, func(k string) string { return accessMatrix[k].suspended }},
	}
	for _, change := range changes {
		t.Run(change.name, func(t *testing.T) {
			s := w.newAccessFixture(gateways[0], "ann-"+change.name, "eve-"+change.name)
			c := s.room
			if change.direct {
				c = s.direct
			}
			type connKey struct{ kind, name string }
			// One connection per frame type, because unsubscribe would affect the others.
			conns := make(map[connKey]*wstest.Conn)
			for _, kind := range types {
				for i, url := range gateways {
					conn, _ := w.connect(url, s.eve)
					conns[connKey{kind, fmt.Sprint("gateway ", i)}] = conn
					if kind != "unsubscribe" {
						if got := ask(t, conn, s.frame(kind, c)); got != accessMatrix[kind].before {
							t.Errorf("%s before: %s, want %s", kind, got, accessMatrix[kind].before)
						}
					}
				}
			}
			began := time.Now()
			change.make(s)
			for p, conn := range conns {
				testkit.Until(t, testkit.Timeout, func() error {
					if got := ask(t, conn, s.frame(p.kind, c)); got != change.want(p.kind) {
						return fmt.Errorf("%s on %s, %s: %s, want %s", p.kind, p.name, change.name, got, change.want(p.kind))
					}
					return nil
				})
			}
			t.Logf("%s: in effect for %d frame types on %d gateways within %s, asked one after the other", change.name, len(types), len(gateways), time.Since(began))
		})
	}
}

func (w *world) newAccessFixture(url, owner, concerned string) *accessFixture {
	w.t.Helper()
	s := &accessFixture{w: w, ann: w.person(owner), eve: w.person(concerned)}
	s.room = w.channel(chat.Public, s.ann, s.eve)
	w.setRole(s.room, s.ann, chat.Owner)
	w.setRole(s.room, s.eve, chat.Admin)
	a, _ := w.connect(url, s.ann)
	e, _ := w.connect(url, s.eve)
	s.others, s.own = say(w.t, a, s.room, "mine").ID, say(w.t, e, s.room, "hers").ID
	first := sayTo(w.t, e, s.ann.ID, chat.ClientID{})
	s.direct, s.ownDirect = first.ChannelID, first.ID
	a.Close()
	e.Close()
	return s
}

// A user who is removed from a channel while hello is being prepared loses that channel but keeps
// the connection.
func TestHello_userIsRemovedDuringIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, eve := w.person("ann"), w.person("eve")
	stays, left := w.channel(chat.Private, ann, eve), w.channel(chat.Private, ann, eve)
	url, _ := w.gateway(neverVerify)
	a, _ := w.connect(url, ann)
	say(t, a, left, "unread, so that hello asks PostgreSQL to count")
	w.store(left, true)
	first, _ := w.connect(url, eve)

	lock := w.lock("messages")
	conn := wstest.Dial(t, url+"/ws", eve.Token)
	testkit.Until(t, testkit.Timeout, func() error { return w.blocked("messages") }) // hello counts unread messages
	w.expel(left, eve)
	secret := say(t, a, left, "not for eve")
	first.Await(t, "the notice", func(f wstest.Frame) bool { return f.Type == "membership" && f.ChannelID == left })
	if err := lock.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	open := say(t, a, stays, "for eve")
	conn.Await(t, "what is said in the other channel", func(f wstest.Frame) bool { return f.Type == "message" && f.ID == open.ID })
	for _, f := range conn.Events(left) {
		if f.ID == secret.ID {
			t.Errorf("eve was removed and got %s", f.Raw)
		}
	}
}

// During a PostgreSQL outage, a bot without subscriptions can keep writing to its channels, no
// matter how long the outage lasts. A removal that is recorded in Redis is still enforced.
func TestOutage_membersWithoutSubscriptionsKeepWriting(t *testing.T) {
	t.Parallel()
	pg := schematest.NewServer(t)
	w := newWorldOn(t, &pg.DB)
	bot, ann := w.person("bot"), w.person("ann")
	c, removed := w.channel(chat.Private, bot, ann), w.channel(chat.Private, bot, ann)
	url, _ := w.gateway(verifyOften)
	b := wstest.Dial(t, url+"/ws?subscribe=none", bot.Token)
	b.AwaitType(t, "hello")
	say(t, b, c, "before")
	direct := sayTo(t, b, ann.ID, chat.ClientID{}).ChannelID
	pg.Stop(t)
	w.appendEvent(frame.Event{
		Type: event.MemberLeft, ChannelID: removed, ID: chat.NewEventID(), SenderID: ann.ID, UserID: &bot.ID, Username: bot.Name, SentAt: chat.Now(),
	})
	// Wait four times as long as a cached membership counts as fresh.
	for began := time.Now(); time.Since(began) < 4*time.Second; {
		say(t, b, c, "still here")
		say(t, b, direct, "still here")
	}
	wantCode(t, "in the channel from which the bot was removed", b.AwaitRef(t, b.Say(t, removed, "hello?").String()), "forbidden")
	pg.Start(t)
	w.exec(`delete from channel_members where channel_id = $1 and user_id = $2`, c.UUID, bot.ID.UUID)
	testkit.Until(t, testkit.Timeout, func() error {
		if f := b.AwaitRef(t, b.Say(t, c, "and now?").String()); f.Code != "not_found" {
			return fmt.Errorf("after the outage: %s", f.Raw)
		}
		return nil
	})
}

// A member's first event waits until chat-service has appended the member_joined event from the
// outbox.
func TestJoin_isAnnouncedBeforeTheFirstMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	urls := make([]string, 2)
	for i := range urls {
		urls[i], _ = w.gateway(neverVerify)
	}
	for i, url := range urls {
		ann := w.person(fmt.Sprint("ann-", i))
		conn, _ := w.connect(url, ann)
		c := w.channel(chat.Public, ann)
		w.exec(`insert into outbox (kind, channel_id, actor_id, subject_id) values ('member_joined', $1, $2, $2)`, c.UUID, ann.ID.UUID)
		floor := func(context.Context, chat.ChannelID) (int64, error) { return 0, nil }
		if _, err := w.log.EnsureHead(t.Context(), c, floor); err != nil {
			t.Fatal(err)
		}
		lock := w.lock("outbox")
		first := conn.Say(t, c, "first").String()
		testkit.Until(t, testkit.Timeout, func() error { return w.blocked("outbox") })
		// The gateway now finds out that the join has not been announced yet.
		if err := lock.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		lock = w.lock("outbox")
		// It must read again. A gateway that did not wait would send an answer instead.
		testkit.Until(t, testkit.Timeout, func() error {
			if slices.ContainsFunc(conn.Frames(), func(f wstest.Frame) bool { return f.Ref == first }) {
				return nil
			}
			return w.blocked("outbox")
		})
		w.appendEvent(frame.Event{
			Type: event.MemberJoined, ChannelID: c, ID: chat.NewEventID(), SenderID: ann.ID, UserID: &ann.ID, Username: ann.Name, SentAt: chat.Now(),
		})
		if _, err := lock.Exec(t.Context(), "delete from outbox where channel_id = $1", c.UUID); err != nil {
			t.Fatal(err)
		}
		if err := lock.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantAck(t, "the first message", conn.AwaitRef(t, first), 2)
	}
}

// Two users with a block between them get no typing frames, receipts or presence frames about each
// other, on any gateway. Other users do.
func TestBlock_hidesEphemeralFrames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, cy := w.person("ann"), w.person("bob"), w.person("cyd")
	c := w.channel(chat.Private, ann, bob, cy)
	one, _ := w.gateway(neverVerify)
	two, _ := w.gateway(neverVerify)
	conns := map[string]*wstest.Conn{}
	conns["ann"], _ = w.connect(one, ann)
	conns["bob"], _ = w.connect(two, bob)
	conns["cy"], _ = w.connect(two, cy)
	people := map[string]person{"ann": ann, "bob": bob, "cy": cy}
	first := say(t, conns["cy"], c, "hi")
	for _, conn := range conns {
		awaitOnline(t, 60*time.Second, conn, c, ann, bob, cy)
	}

	w.block(ann, bob, true)
	awaitLeft(t, 60*time.Second, conns["bob"], ann)
	awaitLeft(t, 60*time.Second, conns["ann"], bob)
	awaitOnline(t, 60*time.Second, conns["ann"], c, ann, cy)
	awaitOnline(t, 60*time.Second, conns["bob"], c, bob, cy)
	awaitOnline(t, 60*time.Second, conns["cy"], c, ann, bob, cy)

	// Once these frames have reached cy, a frame that bob or ann has not received is missing, not
	// late.
	for _, name := range []string{"ann", "bob"} {
		p, conn := people[name], conns[name]
		conn.Send(t, map[string]any{"type": "typing", "channel_id": c, "typing": true})
		conn.Send(t, cursorFrame("read", c, first.Seq))
		conns["cy"].Await(t, "typing", isTyping(p, true))
		conns["cy"].Await(t, "a receipt", func(f wstest.Frame) bool { return f.Type == "receipt" && f.UserID == p.ID })
	}
	conns["cy"].Send(t, map[string]any{"type": "typing", "channel_id": c, "typing": true})
	for name, other := range map[string]person{"ann": bob, "bob": ann} {
		conn := conns[name]
		conn.Await(t, "what cy types", isTyping(cy, true))
		for _, f := range conn.Frames() {
			if f.UserID == other.ID && (isTyping(other, true)(f) || f.Type == "receipt") {
				t.Errorf("%s gets a frame about %s: %s", name, other.Name, f.Raw)
			}
		}
	}

	w.unblock(ann, bob)
	awaitOnline(t, 60*time.Second, conns["ann"], c, ann, bob, cy)
	awaitOnline(t, 60*time.Second, conns["bob"], c, ann, bob, cy)
	conns["ann"].Send(t, cursorFrame("read", c, say(t, conns["cy"], c, "again").Seq))
	conns["bob"].Await(t, "a receipt", func(f wstest.Frame) bool { return f.Type == "receipt" && f.UserID == ann.ID })
}

// Mentions between users with a block do not count, no matter which of the two sent them and
// whether they are stored.
func TestBlock_mentionsDoNotCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, cy := w.person("ann"), w.person("bob"), w.person("cyd")
	c := w.channel(chat.Private, ann, bob, cy)
	url, _ := w.gateway(neverVerify)
	b, _ := w.connect(url, bob)
	y, _ := w.connect(url, cy)
	say(t, b, c, "@ann one")
	say(t, b, c, "@channel two")
	say(t, y, c, "@ann three")
	mentions := func(p person) int {
		conn, hello := w.connect(url, p)
		defer conn.Close()
		return hello.Channels[slices.IndexFunc(hello.Channels, func(s frame.ChannelSummary) bool { return s.ChannelID == c })].UnreadMentions
	}
	for _, stored := range []bool{false, true} {
		if stored {
			w.store(c, true)
		}
		if n := mentions(ann); n != 3 {
			t.Errorf("stored: %v: %d mentions before, want 3", stored, n)
		}
		w.block(ann, bob, true)
		if n := mentions(ann); n != 1 {
			t.Errorf("stored: %v: %d mentions while blocked, want 1", stored, n)
		}
		w.unblock(ann, bob)
		if n := mentions(ann); n != 3 {
			t.Errorf("stored: %v: %d mentions afterwards, want 3", stored, n)
		}
	}
	w.block(ann, bob, true)
	tries := 0
	// The name of a user who has blocked the sender, or whom the sender has blocked, is plain text.
	testkit.Until(t, testkit.Timeout, func() error {
		tries++
		text := fmt.Sprint("@ann @cyd ", tries)
		say(t, b, c, text)
		f := y.Await(t, "it", func(f wstest.Frame) bool { return f.Type == "message" && f.Body == text })
		if ids := mentionsOf(t, f); len(ids) != 1 || ids[0] != cy.ID {
			return fmt.Errorf("mentions %v", ids)
		}
		return nil
	})
}

func TestControlFrames_haveABudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("ann")
	url, _ := w.gateway()
	for name, kind := range map[string]int{"ping": websocket.PingMessage, "pong": websocket.PongMessage} {
		conn, _ := w.connect(url, ann)
		for range 10 {
			if err := conn.Write(kind, nil); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		alive(t, conn)
		for range 10_000 {
			if conn.Write(kind, nil) != nil {
				break
			}
		}
		if code, why := conn.AwaitClose(t); code != websocket.ClosePolicyViolation {
			t.Errorf("%s: closed with %d %s, want 1008", name, code, why)
		}
	}
}

// Each channel of a subscribe frame counts as one frame. When a client resumes, the channels to
// which hello would have subscribed do not count.
func TestSubscribe_isChargedPerChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("ann")
	url, _ := w.gateway(func(cfg *wsserver.Config) {
		cfg.FrameRate = config.Rate{Count: 50, Per: time.Second}
		cfg.MaxSubscriptions = 200
	})
	many := func() map[string]any {
		channels := make([]map[string]any, 200)
		for i := range channels {
			channels[i] = map[string]any{"channel_id": chat.NewChannelID()}
		}
		return map[string]any{"type": "subscribe", "ref": "s", "channels": channels}
	}
	conn := wstest.Dial(t, url+"/ws?subscribe=none", ann.Token)
	conn.AwaitType(t, "hello")
	conn.Send(t, many())
	alive(t, conn)
	began := time.Now()
	conn.Send(t, many()) // 200 channels, of which 100 exceed the burst
	alive(t, conn)
	if took := time.Since(began); took < time.Second {
		t.Errorf("the second of two frames with 200 channels each waited only %s", took)
	}
}

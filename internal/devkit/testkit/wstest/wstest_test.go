package wstest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is the other side of a connection.
type peer struct {
	*websocket.Conn
	header http.Header
}

// serve starts a server and returns its address and the connections that it accepts.
func serve(t *testing.T) (url string, accepted <-chan peer) {
	t.Helper()
	peers := make(chan peer, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ws" {
			http.Error(w, "the reason", http.StatusTeapot)
			return
		}
		c, err := (&websocket.Upgrader{Subprotocols: []string{frame.Subprotocol}}).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		peers <- peer{c, r.Header}
	}))
	t.Cleanup(func() {
		server.Close()
		close(peers)
		for p := range peers {
			_ = p.Close()
		}
	})
	return "ws" + strings.TrimPrefix(server.URL, "http") + "/ws", peers
}

// connect returns both sides of a connection.
func connect(t testing.TB, url string, accepted <-chan peer) (*wstest.Conn, peer) {
	t.Helper()
	c := wstest.Dial(t, url, "a token")
	p := <-accepted
	t.Cleanup(func() { _ = p.Close() })
	return c, p
}

// say sends the frames in one WebSocket message.
func (p peer) say(t *testing.T, frames ...string) {
	t.Helper()
	if err := p.WriteMessage(websocket.TextMessage, []byte(strings.Join(frames, "\n"))); err != nil {
		t.Fatal(err)
	}
}

func pong(ref string) string { return fmt.Sprintf(`{"type":"pong","ref":"%s"}`, ref) }

func message(t *testing.T, c chat.ChannelID, seq int64) string {
	t.Helper()
	e := frame.Event{
		Type: event.Message, ChannelID: c, Seq: seq, ID: chat.NewEventID(), ClientID: new(chat.NewClientID()),
		SenderID: chat.NewUserID(), SenderName: "ann", Body: "hi", SentAt: chat.Now(),
	}
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// failures is a testing.TB that records the reported failures, and ends at a fatal one.
type failures struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

func (f *failures) Helper() {}

func (f *failures) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func (f *failures) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

func (f *failures) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.said, "\n")
}

// failing runs a part of a test that must fail, and returns the reported failures.
func failing(t *testing.T, part func(testing.TB)) string {
	t.Helper()
	f := &failures{TB: t}
	var running sync.WaitGroup
	running.Go(func() { part(f) })
	running.Wait()
	return f.text()
}

func TestDial_sendsTheTokenAndTheSubprotocol(t *testing.T) {
	t.Parallel()
	url, accepted := serve(t)
	_, p := connect(t, url, accepted)
	if got := p.header.Get("Authorization"); got != "Bearer a token" {
		t.Errorf("authorization %q", got)
	}
	if p.Subprotocol() != frame.Subprotocol {
		t.Errorf("subprotocol %q", p.Subprotocol())
	}
	wstest.Dial(t, url, "")
	without := <-accepted
	defer without.Close()
	if got, ok := without.header["Authorization"]; ok {
		t.Errorf("without a token: %q", got)
	}
}

func TestTryDial_returnsTheRefusal(t *testing.T) {
	t.Parallel()
	url, _ := serve(t)
	_, resp, err := wstest.TryDial(t, strings.TrimSuffix(url, "ws")+"other", nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusTeapot {
		t.Errorf("%v, %v; want the response of the server", resp, err)
	}
	if got := failing(t, func(tb testing.TB) { wstest.Dial(tb, strings.TrimSuffix(url, "ws")+"other", "") }); !strings.HasPrefix(got, "connect to ") {
		t.Errorf("Dial reports %q", got)
	}
}

func TestAwait_returnsEachFrameOnce(t *testing.T) {
	t.Parallel()
	url, accepted := serve(t)
	c, p := connect(t, url, accepted)
	p.say(t, pong("1"), pong("2"))
	p.say(t, pong("3"), pong("2"))
	if f := c.AwaitRef(t, "3"); f.Type != "pong" || string(f.Raw) != pong("3") { // later frames may be awaited first
		t.Errorf("frame %+v", f)
	}
	for _, want := range []string{"1", "2", "2"} {
		if c.Ended() {
			t.Error("the connection counts as ended")
		}
		if f := c.AwaitType(t, "pong"); f.Ref != want {
			t.Errorf("frame %s, want %s", f.Ref, want)
		}
	}
	if f, err := c.TryAwait(0, func(wstest.Frame) bool { return true }); err == nil {
		t.Errorf("a fifth frame: %+v", f)
	}
	var refs []string
	for _, f := range c.Frames() {
		refs = append(refs, f.Ref)
	}
	if want := []string{"1", "2", "3", "2"}; !slices.Equal(refs, want) {
		t.Errorf("frames %q, want %q", refs, want)
	}
}

func TestAwait_failsAtTheEndOfTheConnection(t *testing.T) {
	t.Parallel()
	url, accepted := serve(t)
	c, p := connect(t, url, accepted)
	p.say(t, pong("seen"))
	_ = p.Close()
	got := failing(t, func(tb testing.TB) { c.AwaitRef(tb, "other") })
	if !strings.HasPrefix(got, "waiting for the answer to other: ") || !strings.Contains(got, pong("seen")) {
		t.Errorf("%q, want what was awaited and the frames", got)
	}
	<-c.Done()
	if c.Ended() {
		t.Error("the connection counts as ended before its frames were returned")
	}
	c.AwaitRef(t, "seen")
	if !c.Ended() {
		t.Error("the connection has not ended")
	}
}

func TestRead_checksFramesAgainstTheSchema(t *testing.T) {
	t.Parallel()
	url, accepted := serve(t)
	got := failing(t, func(tb testing.TB) {
		c, p := connect(tb, url, accepted)
		p.say(t, `{"type":"pong","ref":"1","unknown":true}`)
		c.AwaitRef(tb, "1")
	})
	if !strings.Contains(got, "does not allow the frame") || !strings.Contains(got, "unknown") {
		t.Errorf("%q, want the frame refused", got)
	}
	got = failing(t, func(tb testing.TB) {
		c, p := connect(tb, url, accepted)
		p.say(t, `no JSON`)
		c.AwaitType(tb, "pong")
	})
	if !strings.Contains(got, "no JSON") {
		t.Errorf("%q, want what is no JSON", got)
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	url, accepted := serve(t)
	c, p := connect(t, url, accepted)
	read := func() string {
		t.Helper()
		_, b, err := p.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	c.Send(t, "not JSON, as it is")
	if got := read(); got != "not JSON, as it is" {
		t.Errorf("%q", got)
	}
	c.Send(t, map[string]any{"type": "ping"})
	if got := read(); got != `{"type":"ping"}` {
		t.Errorf("%q", got)
	}
	schema, err := wstest.LoadSchema()
	if err != nil {
		t.Fatal(err)
	}
	id := c.Say(t, chat.NewChannelID(), "hello")
	if got := read(); schema.CheckClient([]byte(got)) != nil || !strings.Contains(got, `"ref":"`+id.String()+`"`) || !strings.Contains(got, `"client_id":"`+id.String()+`"`) {
		t.Errorf("%s: %v", got, schema.CheckClient([]byte(got)))
	}
	if err := c.TrySend(func() {}); err == nil {
		t.Error("a function is sent as JSON")
	}
	c.Close()
	if err := c.TrySend("x"); err == nil {
		t.Error("a closed connection sends")
	}
}

func TestAwaitClose(t *testing.T) {
	t.Parallel()
	url, accepted := serve(t)
	c, p := connect(t, url, accepted)
	if err := p.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4010, "resume")); err != nil {
		t.Fatal(err)
	}
	if code, reason := c.AwaitClose(t); code != 4010 || reason != "resume" {
		t.Errorf("closed with %d %q", code, reason)
	}
	c, p = connect(t, url, accepted)
	_ = p.NetConn().Close()
	if code, reason := c.AwaitClose(t); code != websocket.CloseAbnormalClosure || reason == "" {
		t.Errorf("cut off: closed with %d %q", code, reason)
	}
}

func TestAwaitSeq(t *testing.T) {
	t.Parallel()
	url, accepted := serve(t)
	mine := chat.NewChannelID()
	for name, test := range map[string]struct {
		seqs []int64 // 0 stands for an event of another channel
		want string  // part of the failure
	}{
		"in order":                {[]int64{3, 4, 5}, ""},
		"later events may follow": {[]int64{3, 4, 5, 6}, ""},
		"with another channel":    {[]int64{3, 0, 4, 5}, ""},
		"a gap":                   {[]int64{3, 5}, "event 1 of the channel has seq 5, want 4"},
		"a repeat":                {[]int64{3, 3, 4, 5}, "event 1 of the channel has seq 3, want 4"},
		"another start":           {[]int64{4, 5}, "event 0 of the channel has seq 4, want 3"},
		"an early end":            {[]int64{3, 4}, "the connection ended before seq 5"},
	} {
		t.Run(name, func(t *testing.T) {
			got := failing(t, func(tb testing.TB) {
				c, p := connect(tb, url, accepted)
				frames := make([]string, len(test.seqs))
				for i, seq := range test.seqs {
					frames[i] = message(t, mine, seq)
					if seq == 0 {
						frames[i] = message(t, chat.NewChannelID(), 9)
					}
				}
				p.say(t, frames...)
				_ = p.Close()
				c.AwaitSeq(tb, mine, 3, 5)
			})
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestFrame_Event(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		frame wstest.Frame
		want  bool
	}{
		"a message":           {wstest.Frame{Type: "message", Seq: 1}, true},
		"a tombstone":         {wstest.Frame{Type: "failed", Seq: 1}, true},
		"the notice of it":    {wstest.Frame{Type: "failed", Seq: 1, ClientID: chat.NewClientID()}, false},
		"an ack":              {wstest.Frame{Type: "ack", Seq: 1}, false},
		"a frame without seq": {wstest.Frame{Type: "message"}, false},
		"an ephemeral frame":  {wstest.Frame{Type: "typing"}, false},
	} {
		if got := test.frame.Event(); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	schema, err := wstest.LoadSchema()
	if err != nil {
		t.Fatal(err)
	}
	for frame, want := range map[string]string{
		pong("1"):                     "",
		`{"type":"pong"`:              "not JSON",
		`["pong"]`:                    "not an object",
		`{"type":"send"}`:             `no definition for type "send"`, // a frame from the other side
		`{"type":"error","code":"x"}`: "error: ",
	} {
		for range 2 { // a valid frame is kept for later, an invalid one is not
			err := schema.CheckServer([]byte(frame))
			if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
				t.Errorf("%s: %v, want %q", frame, err, want)
			}
		}
	}
	if err := schema.CheckClient([]byte(pong("1"))); err == nil {
		t.Error("a client may send a pong")
	}
	if err := schema.CheckClient([]byte(`{"type":"ping"}`)); err != nil {
		t.Errorf("a client may not send a ping: %v", err)
	}
	server, client := schema.Types("server"), schema.Types("client")
	if !slices.Contains(server, "ack") || slices.Contains(server, "send") || !slices.Contains(client, "send") || slices.Contains(client, "ack") || slices.Contains(server, "frame") {
		t.Errorf("the server sends %q, a client %q", server, client)
	}
	if again, err := wstest.LoadSchema(); err != nil || again != schema {
		t.Errorf("the schema is read again: %v", err)
	}
	if !strings.HasSuffix(schema.Path, "docs/websocket.schema.json") {
		t.Errorf("it is from %s", schema.Path)
	}
}

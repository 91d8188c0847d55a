package e2e_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"parley.chat/internal/devkit/testkit/otlptest"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
)

// spansOf waits until the trace of an event contains the named spans, and returns them by name.
func spansOf(t *testing.T, c *otlptest.Collector, id chat.EventID, names ...string) map[string][]otlptest.Span {
	t.Helper()
	byName := map[string][]otlptest.Span{}
	var got []string
	for _, s := range c.Await(t, strings.ReplaceAll(id.String(), "-", ""), len(names)) {
		got = append(got, s.Service+" "+s.Name)
		byName[s.Name] = append(byName[s.Name], s)
	}
	slices.Sort(got)
	slices.Sort(names)
	if !slices.Equal(got, names) {
		t.Errorf("the trace of %s has the spans %q, want %q", id, got, names)
	}
	return byName
}

// TestTrace follows messages from a WebSocket, and from a request, to their rows, using only their
// ids.
func TestTrace(t *testing.T) {
	collector := otlptest.New(t)
	w := newWorldWith(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "TRACE_RATIO": "1"})
	ann, bob := w.signup("ann"), w.signup("bob")
	c := ann.createChannel("lobby", "unlisted")
	a := ann.connect(w.ws[0])
	bob.join(c)
	joined := a.Await(t, "bob's coming", func(f wstest.Frame) bool { return f.Type == "member_joined" && f.UserID == bob.ID })
	b := bob.connect(w.ws[1])

	send := func(conn *wstest.Conn, client chat.ClientID) wstest.Frame {
		t.Helper()
		ref := chat.NewClientID().String()
		conn.Send(t, map[string]any{"type": "send", "ref": ref, "channel_id": c, "client_id": client, "body": "hello"})
		ack := conn.AwaitRef(t, ref)
		if ack.Type != "ack" {
			t.Fatalf("send: %s", ack.Raw)
		}
		return ack
	}
	client := chat.NewClientID()
	ack := send(a, client)
	b.AwaitSeq(t, c, ack.Seq, ack.Seq)
	everywhere := []string{
		"ws-server send", "ws-server reserve", "ws-server append", "ws-server deliver", "ws-server deliver", "sync-service store",
	}
	spans := spansOf(t, collector, ack.ID, slices.Clone(everywhere)...)
	if t.Failed() {
		return
	}
	root, store := spans["send"][0], spans["store"][0]
	if want := strings.ReplaceAll(ack.ID.String(), "-", "")[16:]; root.ID != want || root.Parent != "" {
		t.Errorf("the root is %+v, want the id %s", root, want)
	}
	for name, of := range spans {
		for _, s := range of {
			if name != "send" && s.Parent != root.ID {
				t.Errorf("%s is below %q", name, s.Parent)
			}
		}
	}
	if store.Attributes["channel_id"] != c.String() || store.Attributes["entry_id"] == "" || !store.Ended.After(root.Began) {
		t.Errorf("the row is stored by %+v, sent by %+v", store, root)
	}
	for _, s := range spans["deliver"] {
		if s.Attributes["recipients"] != "1" {
			t.Errorf("delivered by %+v", s)
		}
	}

	if again := send(b, client); again.Duplicate { // the same key from another sender identifies a different message
		t.Errorf("%s", again.Raw)
	}
	if again := send(a, client); !again.Duplicate || again.ID != ack.ID {
		t.Errorf("a retry got %s", again.Raw)
	}
	for _, s := range spansOf(t, collector, ack.ID, append(slices.Clone(everywhere), "ws-server send")...)["send"][1:] {
		if s.Attributes["duplicate"] != "true" || s.Parent != root.ID {
			t.Errorf("the retry is %+v", s)
		}
	}

	spansOf(t, collector, joined.ID, "chat-service send", "chat-service append", "ws-server deliver", "sync-service store")
	var sent struct{ ID chat.EventID }
	w.call(http.MethodPost, "/v1/channels/"+c.String()+"/messages", bob.Token, map[string]string{"body": "by REST"}, http.StatusCreated, &sent)
	root = spansOf(t, collector, sent.ID, "chat-service send", "chat-service reserve", "chat-service append",
		"ws-server deliver", "ws-server deliver", "sync-service store")["send"][0]
	if len(root.Links) != 1 {
		t.Fatalf("a message by REST is linked to %q", root.Links)
	}
	request := collector.Await(t, root.Links[0], 1)[0]
	if request.Name != "POST /v1/channels/:id/messages" || !slices.Contains(request.Links, root.Trace) {
		t.Errorf("the request is %+v", request)
	}
}

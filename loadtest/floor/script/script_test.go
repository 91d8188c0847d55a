package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

func TestFind(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]int{"ab": {0, 3, 5, 7}, "c": {2}, "x": nil, "abab": {3}} {
		if got := find([]byte("abcababab"), text); !slices.Equal(got, want) {
			t.Errorf("%q is at %v, want %v", text, got, want)
		}
	}
}

func TestCallOf_needsBothIDs(t *testing.T) {
	t.Parallel()
	c, err := callOf([]byte("x EVENT y CLIENT EVENT"), "EVENT", "CLIENT")
	if err != nil || !slices.Equal(c.eventID, []int{2, 17}) || !slices.Equal(c.client, []int{10}) {
		t.Errorf("%+v, %v", c, err)
	}
	for _, wire := range []string{"", "only the EVENT", "only the CLIENT"} {
		if c, err := callOf([]byte(wire), "EVENT", "CLIENT"); err == nil {
			t.Errorf("%q: no error, but %+v", wire, c)
		}
	}
}

// A replayed call must have new ids of the right UUID versions, in all places, and no other change.
func TestRefresh(t *testing.T) {
	t.Parallel()
	id, client := uuid.Must(uuid.NewV7()).String(), uuid.New().String()
	wire := "before " + id + " between " + client + " and " + id + " after"
	c, err := callOf([]byte(wire), id, client)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, n := range []int{1, 15, 16, 255, 1 << 20} {
		text := string(c.refresh(n))
		parts := strings.Fields(text)
		newID, newClient := parts[1], parts[3]
		if seen[newID] || seen[newClient] {
			t.Errorf("event %d has the ids of an earlier one", n)
		}
		seen[newID], seen[newClient] = true, true
		for got, version := range map[string]uuid.Version{newID: 7, newClient: 4} {
			if u, err := uuid.Parse(got); err != nil || u.Version() != version {
				t.Errorf("%s: %v, want version %d", got, err, version)
			}
		}
		if want := strings.NewReplacer(id, newID, client, newClient).Replace(wire); text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		reply string
		want  string // part of the error
	}{
		"appended":           {"*2\r\n$3\r\n1-a\r\n$6\r\nok 1 2\r\n", ""},
		"an error":           {"-ERR no\r\n", "-ERR no"},
		"another array":      {"*3\r\n", "*3"},
		"a refusal":          {"*2\r\n$3\r\n1-a\r\n$4\r\nfull\r\n", "full"},
		"no string":          {"*2\r\n:1\r\n", ":1"},
		"a missing element":  {"*2\r\n$-1\r\n", "$-1"},
		"no end of the line": {"*2\n", "not valid RESP"},
		"too short":          {"*2\r\n$3\r\n1-a\r\n", io.EOF.Error()},
	} {
		err := answer(bufio.NewReader(strings.NewReader(test.reply)))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestTap_recordsTheLastScriptCall(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	defer here.Close()
	ended := make(chan []byte)
	go func() { // it ends when the pipe is closed
		b, _ := io.ReadAll(there)
		ended <- b
	}()
	seen := &recording{}
	tapped := tap{here, seen}
	call := []byte("*2\r\n$7\r\nEVALSHA\r\n$1\r\na\r\n")
	for _, b := range [][]byte{[]byte("*1\r\n$4\r\nPING\r\n"), call, []byte("*1\r\n$4\r\nQUIT\r\n")} {
		if _, err := tapped.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	want := string(call)
	call[0] = 'x' // the caller reuses its buffer
	if string(seen.last) != want {
		t.Errorf("recorded %q, want %q", seen.last, want)
	}
	_ = here.Close()
	if got := <-ended; !bytes.Contains(got, []byte("PING")) || !bytes.Contains(got, []byte("QUIT")) {
		t.Errorf("the server got %q", got)
	}
}

// The recorded calls must still work with the append script: each call must append one new event.
func TestRecordAndReplay_appendEveryEvent(t *testing.T) {
	t.Parallel()
	server := redistest.NewServer(t)
	opts, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	const channels, events = 3, 100
	calls, err := record(t.Context(), opts, channels, 50)
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) != channels {
		t.Fatalf("%d calls recorded, want %d", len(calls), channels)
	}
	took, err := replay(t.Context(), opts, calls, events, 16)
	if err != nil || took <= 0 {
		t.Fatalf("replayed in %v, %v", took, err)
	}
	rdb := server.Client(t)
	total := 0
	ids := map[string]bool{}
	for p := range 16 {
		entries, err := rdb.XRange(t.Context(), rediskey.Stream(p), "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range entries {
			e, err := event.DecodeEntry(m.Values)
			if err != nil {
				t.Fatal(err)
			}
			total++
			ids[e.ID.String()] = true
		}
	}
	if want := channels + events; total != want || len(ids) != want {
		t.Errorf("%d entries with %d ids, want %d", total, len(ids), want)
	}
}

func TestReplay_reportsARefusal(t *testing.T) {
	t.Parallel()
	server := redistest.NewServer(t)
	opts, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	bad := &call{wire: []byte("*1\r\n$3\r\nNOT\r\n")}
	if _, err := replay(t.Context(), opts, []*call{bad}, 10, 4); err == nil || !strings.Contains(err.Error(), "ERR") {
		t.Errorf("%v, want the error of Redis", err)
	}
	server.Stop(t)
	if _, err := replay(t.Context(), opts, []*call{bad}, 10, 4); err == nil || !strings.Contains(err.Error(), "connect to Redis") {
		t.Errorf("%v, want the connection refused", err)
	}
}

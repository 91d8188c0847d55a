package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

// syncTool runs a command of sync-service with -o json, checks its exit code and decodes its
// output.
func syncTool(t *testing.T, env map[string]string, code int, out any, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(proctest.Build(t, "sync-service"), "sync-service"), append(args, "-o", "json")...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != code {
		t.Fatalf("sync-service %v: exit code %d, want %d\n%.5000s\n%s", args, got, code, stdout.String(), stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
		t.Fatalf("sync-service %v: %v in %.500s", args, err, stdout.String())
	}
}

// postgresTool runs a program of PostgreSQL.
func postgresTool(t *testing.T, name string, args ...string) {
	t.Helper()
	found, err := localserver.Find(t.Context())
	if found.Postgres == "" {
		t.Fatal(err)
	}
	path := filepath.Join(found.Postgres, name)
	if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// appendMany appends n messages with the real appender, as a gateway does.
func (w *world) appendMany(c chat.ChannelID, sender chat.UserID, n int) {
	w.t.Helper()
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprint("after the backup ", i)
	}
	w.appendBodies(c, sender, bodies...)
}

// appendBodies appends messages with the given bodies, valid or not, and returns their client ids.
func (w *world) appendBodies(c chat.ChannelID, sender chat.UserID, bodies ...string) []chat.ClientID {
	w.t.Helper()
	var name string
	if err := w.pool.QueryRow(w.t.Context(), `select username from users where id = $1`, sender.UUID).Scan(&name); err != nil {
		w.t.Fatal(err)
	}
	rdb, err := redisclient.Open(w.redis.URL(), redisclient.Options{NoRetry: true})
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = rdb.Close() }()
	floor := func(ctx context.Context, c chat.ChannelID) (seq int64, err error) {
		err = w.pool.QueryRow(ctx, `select coalesce(max(seq), 0) from messages where channel_id = $1`, c.UUID).Scan(&seq)
		return seq, err
	}
	a := appender.New(eventlog.New(rdb, rediskey.DefaultPartitions), rdb, floor, appender.Config{Timeout: 30 * time.Second})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	results, clients := make(chan error, len(bodies)), make([]chat.ClientID, len(bodies))
	for i, body := range bodies {
		client := chat.NewClientID()
		clients[i] = client
		f := frame.Event{
			Type: event.Message, ChannelID: c, ID: chat.NewEventID(), ClientID: &client, SenderID: sender,
			SenderName: name, Body: body, SentAt: chat.Now(),
		}
		if err := a.Submit(&f, appender.Options{}, func(_ appender.Ack, err error) { results <- err }); err != nil {
			w.t.Fatal(err)
		}
	}
	for range bodies {
		if err := <-results; err != nil {
			w.t.Fatal(err)
		}
	}
	return clients
}

// TestRestore_fromDump restores PostgreSQL from a dump while everything is running. One command
// must restore all later events. It must also list the users who signed up after the dump, because
// accounts are not in the streams.
func TestRestore_fromDump(t *testing.T) {
	w := newWorld(t)
	ann := w.signup("ann")
	conn := ann.connect(w.ws[0])
	c := ann.createChannel("lobby", "unlisted")
	conn.Await(t, "the new channel", func(f wstest.Frame) bool { return f.Type == "membership" && f.ChannelID == c })
	for i := range 20 {
		conn.Say(t, c, fmt.Sprint("before the backup ", i))
	}
	// Trim the older entries, whose events the dump contains.
	w.awaitRows(c, 20)

	began := time.Now().UTC().Format(time.RFC3339Nano)
	dump := filepath.Join(t.TempDir(), "dump.sql")
	postgresTool(t, "pg_dump", "--clean", "--if-exists", "--file="+dump, "--dbname="+w.sync[0].env["DATABASE_URL"])

	bob := w.signup("bob")
	later := bob.createChannel("later", "unlisted")
	w.appendMany(later, bob.ID, 100)
	const n = 10_000
	w.appendMany(c, ann.ID, n)
	w.awaitRows(c, n+20)
	w.awaitRows(later, 100)
	before := [2][]row{w.rows(c), w.rows(later)}

	postgresTool(t, "psql", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file="+dump, "--dbname="+w.sync[0].env["DATABASE_URL"])
	if got := len(w.rows(c)); got >= n {
		t.Fatalf("%d rows after the restore: nothing was restored", got)
	}

	var audit struct{ Problems []struct{ Kind string } }
	syncTool(t, w.sync[0].env, 1, &audit, "verify")
	if len(audit.Problems) == 0 {
		t.Error("verify reports no problem after the restore")
	}
	var r struct {
		Read, Inserted int64
		UnknownUsers   []struct {
			ID   chat.UserID
			Name string
		} `json:"unknown_users"`
		UnknownChannels []struct {
			ID      chat.ChannelID
			Members []string
			Events  int
		} `json:"unknown_channels"`
	}
	// The users to notify are listed both before and after the events are stored.
	unknown := func(args ...string) {
		t.Helper()
		syncTool(t, w.sync[0].env, 0, &r, append([]string{"replay", "--since", began}, args...)...)
		if len(r.UnknownUsers) != 1 || r.UnknownUsers[0].ID != bob.ID || r.UnknownUsers[0].Name != "bob" {
			t.Errorf("unknown users: %+v; want bob %s", r.UnknownUsers, bob.ID)
		}
		if k := r.UnknownChannels; len(k) != 1 || k[0].ID != later || !slices.Equal(k[0].Members, []string{"bob"}) || k[0].Events < 100 {
			t.Errorf("unknown channels: %+v; want %s of bob", k, later)
		}
	}
	unknown("--report")
	if got := len(w.rows(c)); got >= n {
		t.Errorf("the report has stored %d rows", got)
	}
	unknown()
	if r.Inserted < n+100 {
		t.Errorf("replay has inserted %d of %d read, want %d or more", r.Inserted, r.Read, n+100)
	}
	syncTool(t, w.sync[0].env, 0, &audit, "verify")
	for i, channel := range []chat.ChannelID{c, later} {
		if got := w.rows(channel); fmt.Sprint(got) != fmt.Sprint(before[i]) {
			t.Errorf("channel %d: %d rows, which differ from the %d before", i, len(got), len(before[i]))
		}
	}
	// New messages get higher seqs.
	conn.Say(t, c, "after the replay")
	w.awaitRows(c, n+21)
}

// awaitRows waits until a channel has the given number of messages.
func (w *world) awaitRows(c chat.ChannelID, want int) {
	w.t.Helper()
	testkit.Until(w.t, testkit.Timeout, func() error {
		var n int
		err := w.pool.QueryRow(context.Background(), `select count(*) from messages where channel_id = $1 and kind = 'message'`, c.UUID).Scan(&n)
		if err != nil || n < want {
			return fmt.Errorf("%d of %d messages stored, %w", n, want, err)
		}
		return nil
	})
}

package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-migrations/schematest"
)

// line is a line of a program's log.
type line struct {
	Level, Msg string
	Failures   int
}

// trouble returns the log lines, starting at from, that report problems or their end. It ignores
// the lines about requests.
func trouble(t *testing.T, output string, from int) (lines []line) {
	t.Helper()
	for scan := bufio.NewScanner(strings.NewReader(output[from:])); scan.Scan(); {
		var l line
		if err := json.Unmarshal(scan.Bytes(), &l); err != nil {
			t.Errorf("not a log line: %s", scan.Text())
		}
		if l.Msg != "request" && (l.Level != "INFO" || l.Failures > 0) {
			lines = append(lines, l)
		}
	}
	return lines
}

// TestOutage_log stops PostgreSQL. Each program must log the beginning of the outage and, at its
// end, the number of attempts, but not every attempt.
func TestOutage_log(t *testing.T) {
	t.Parallel()
	s := schematest.NewServer(t)
	w := newWorldWith(t, map[string]string{"DATABASE_URL": s.URL})
	ann := w.signup("ann")
	channel := ann.createChannel("harbour", "public")
	conn := ann.connect(w.ws[0])
	send(t, conn, channel, "before") // the gateway compares a channel's numbering with PostgreSQL at its first append
	before := map[*instance]int{}
	for _, i := range w.all() {
		before[i] = len(i.proc.Output())
	}
	s.Kill(t)
	began := time.Now()
	for time.Since(began) < 8*time.Second { // during the outage; these messages keep sync-service trying
		send(t, conn, channel, "during the outage")
		time.Sleep(500 * time.Millisecond)
	}
	s.Start(t)
	testkit.Until(t, testkit.Timeout, func() error {
		for _, i := range w.sync {
			if !strings.Contains(i.proc.Output()[before[i]:], `"storing resumed"`) {
				return fmt.Errorf("%s: %v", i.name, trouble(t, i.proc.Output(), before[i]))
			}
		}
		return nil
	})
	for _, i := range w.all() {
		lines := trouble(t, i.proc.Output(), before[i])
		times, counted := map[string]int{}, 0
		for _, l := range lines {
			times[l.Msg]++
			counted = max(counted, l.Failures)
		}
		allowed := 1 + int(time.Since(began)/time.Minute) // on a slow machine the outage lasts longer than a minute
		for msg, n := range times {
			if n > allowed {
				t.Errorf("%s logs %d times %q: %v", i.name, n, msg, lines)
			}
		}
		if i.name == "sync-service" && (times["storing is interrupted"] != 1 || times["storing resumed"] != 1 || counted < 2) {
			t.Errorf("%s: %v; want one line at the beginning, and one with a count at the end", i.name, lines)
		}
	}
}

// send sends a message and waits for its acknowledgement.
func send(t *testing.T, conn *wstest.Conn, channel chat.ChannelID, body string) {
	t.Helper()
	id := chat.NewClientID()
	conn.Send(t, map[string]any{"type": "send", "channel_id": channel, "client_id": id, "body": body})
	conn.Await(t, "an ack", func(f wstest.Frame) bool { return f.ClientID == id && f.Type == "ack" })
}

// TestFailover makes the database address lead to a hot standby for some seconds, under load, and
// then back to the primary. /readyz must report this, no acknowledged message may be lost, and
// waiting messages must be stored as soon as the primary is back.
func TestFailover(t *testing.T) {
	t.Parallel()
	primary := schematest.NewServer(t, pgtest.Options{Settings: map[string]string{"wal_level": "replica", "max_wal_senders": "4", "hot_standby": "on"}})
	standby := primary.Standby(t)
	gate := primary.Switch(t)
	w := newWorldWith(t, map[string]string{"DATABASE_URL": gate.URL()})
	ann := w.signup("ann")
	channel := ann.createChannel("harbour", "public")
	conn := ann.connect(w.ws[0])
	acked := 0
	load := func(during time.Duration) {
		for began := time.Now(); time.Since(began) < during; acked++ {
			send(t, conn, channel, fmt.Sprint("message ", acked))
		}
	}
	ready := func(i *instance, status int, words string) {
		t.Helper()
		testkit.Until(t, testkit.Timeout, func() error {
			got, body, err := get(i.base + "/readyz")
			if err != nil || got != status || !strings.Contains(body, words) {
				return fmt.Errorf("%s: %d %s %w; want %d and %q", i.name, got, body, err, status, words)
			}
			return nil
		})
	}
	stored := func() (n int) {
		t.Helper()
		if err := primary.Pool(t).QueryRow(t.Context(), "select count(*) from messages where channel_id = $1 and kind = 'message'", channel.UUID).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	load(time.Second)

	gate.Lead(t, standby) // also cuts every open connection, as happens when a primary stops
	load(3 * time.Second)
	for _, i := range []*instance{w.chat, w.sync[0], w.sync[1]} {
		ready(i, http.StatusServiceUnavailable, "is read-only")
	}
	ready(w.ws[0], http.StatusOK, "is read-only")
	if got := acked - stored(); got <= 0 {
		t.Errorf("%d messages are waiting while there is no primary", got)
	}

	gate.Lead(t, primary)
	back := time.Now()
	waiting := stored()
	testkit.Until(t, testkit.Timeout, func() error {
		if n := stored(); n == waiting {
			return fmt.Errorf("still %d rows", n)
		}
		return nil
	})
	t.Logf("rows are stored again after %v", time.Since(back).Round(time.Millisecond))
	load(time.Second)
	for _, i := range w.all() {
		ready(i, http.StatusOK, `"status":"ok"`)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if n := stored(); n != acked {
			return fmt.Errorf("%d rows of %d acknowledged messages", n, acked)
		}
		return nil
	})
	w.signup("bob") // chat-service must be able to write, too
}

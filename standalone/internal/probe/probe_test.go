package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parley.chat/client"
	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-migrations/schematest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// env returns the settings for a probe whose deployment does not exist.
func env(t *testing.T, change map[string]string) func(string) string {
	t.Helper()
	all := map[string]string{"PROBE_URL": "http://" + freeAddr(t), "PROBE_PASSWORD": "a secret", "PROBE_ADDR": freeAddr(t)}
	for name, value := range change {
		all[name] = value
	}
	return func(name string) string { return all[name] }
}

// freeAddr returns an address on which nothing listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestMain_badSettingsNameTheirVariable(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change map[string]string
		want   []string
	}{
		"no password":       {map[string]string{"PROBE_PASSWORD": ""}, []string{"PROBE_PASSWORD"}},
		"another scheme":    {map[string]string{"PROBE_URL": "ws://x"}, []string{"PROBE_URL"}},
		"a bad gateway":     {map[string]string{"PROBE_GATEWAYS": "ws://a/ws, http://b"}, []string{"PROBE_GATEWAYS", "address 2 of 2"}},
		"no interval":       {map[string]string{"PROBE_EVERY": "0s"}, []string{"PROBE_EVERY"}},
		"a negative one":    {map[string]string{"PROBE_TIMEOUT": "-1s"}, []string{"PROBE_TIMEOUT"}},
		"a bad duration":    {map[string]string{"PROBE_EVERY": "often"}, []string{"PROBE_EVERY"}},
		"a bad database":    {map[string]string{"DATABASE_URL": "postgres://%"}, []string{"DATABASE_URL"}},
		"two bad settings":  {map[string]string{"PROBE_PASSWORD": "", "PROBE_EVERY": "0s"}, []string{"PROBE_PASSWORD", "PROBE_EVERY"}},
		"an address in use": {map[string]string{"PROBE_ADDR": "nowhere"}, []string{"PROBE_ADDR"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := Main(t.Context(), nil, env(t, test.change), io.Discard, io.Discard)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want it to contain %q", err, want)
				}
			}
		})
	}
}

func TestMain_arguments(t *testing.T) {
	t.Parallel()
	var help bytes.Buffer
	if err := Main(t.Context(), []string{"--help"}, env(t, nil), io.Discard, &help); err != nil || !strings.Contains(help.String(), "PROBE_GATEWAYS") || !strings.Contains(help.String(), "parley-probe once") {
		t.Errorf("help: %v\n%s", err, &help)
	}
	for _, args := range [][]string{{"twice"}, {"once", "again"}} {
		if err := Main(t.Context(), args, env(t, nil), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), args[0]) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestOnce_namesTheStepThatFailed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := Main(t.Context(), []string{"once"}, env(t, nil), &out, io.Discard)
	if e, ok := errors.AsType[*StepError](err); !ok || e.Step != Login || strings.Contains(err.Error(), "a secret") {
		t.Errorf("%v, want the login failed", err)
	}
	if out.Len() != 0 {
		t.Errorf("it prints %q", &out)
	}
}

func TestServe_showsFailedPasses(t *testing.T) {
	t.Parallel()
	get := env(t, map[string]string{"PROBE_EVERY": "10ms"})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := Main(ctx, nil, get, io.Discard, io.Discard); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer cancel()
	read := func(path string) (string, error) {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + get("PROBE_ADDR") + path)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: status %d", path, resp.StatusCode)
		}
		return string(b), err
	}
	testkit.Until(t, testkit.Timeout, func() error {
		text, err := read("/metrics")
		if err != nil {
			return err
		}
		for _, line := range strings.Split(text, "\n") { // at least two passes: the probe continues
			var n float64
			if _, err := fmt.Sscanf(line, `parley_probe_passes_total{failed="login"} %g`, &n); err == nil && n >= 2 && strings.Contains(text, "\nparley_probe_up 0\n") {
				return nil
			}
		}
		return fmt.Errorf("no failed passes in\n%s", text)
	})
	if _, err := read("/healthz"); err != nil {
		t.Error(err)
	}
}

func TestMetrics_note(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := newMetrics(reg)
	if n := testutil.CollectAndCount(m.passes); n != len(steps)+1 {
		t.Errorf("%d series of passes at first, want one for each step and one for success", n)
	}
	m.note(result{took: map[Step]time.Duration{Login: time.Second}}, nil)
	if up, ok := testutil.ToFloat64(m.up), testutil.ToFloat64(m.passes.WithLabelValues("")); up != 1 || ok != 1 {
		t.Errorf("after a success: up %v, succeeded %v", up, ok)
	}
	m.note(result{took: map[Step]time.Duration{Login: time.Second, Connect: time.Second}}, &StepError{Step: Send, Err: errors.New("x")})
	if up, failed := testutil.ToFloat64(m.up), testutil.ToFloat64(m.passes.WithLabelValues("send")); up != 0 || failed != 1 {
		t.Errorf("after a failure: up %v, failed %v", up, failed)
	}
	if n := testutil.CollectAndCount(m.seconds); n != 2 {
		t.Errorf("%d steps were measured, want login and connect", n)
	}
}

func TestStepError(t *testing.T) {
	t.Parallel()
	cause := errors.New("refused")
	for want, err := range map[string]error{
		"hear: ws://a/ws: refused": at(Hear, "ws://a/ws", cause), "store: refused": &StepError{Step: Store, Err: cause},
	} {
		if err.Error() != want || !errors.Is(err, cause) {
			t.Errorf("%q, want %q", err, want)
		}
	}
	if err := at(Hear, "x", nil); err != nil {
		t.Errorf("%v without an error", err)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	got := result{gateways: 2, took: map[Step]time.Duration{Login: 1500 * time.Microsecond}}.summary()
	if len(got) != 3 || got["ok"] != true || got["gateways"] != 2 || got["login_ms"] != 1.5 {
		t.Errorf("%v", got)
	}
}

func TestGateways(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cfg  Config
		want []gateway
	}{
		"by the API's address":        {Config{URL: "http://host:8080"}, []gateway{{url: "ws://host:8080/ws"}}},
		"over TLS, under a path":      {Config{URL: "https://host/chat/"}, []gateway{{url: "wss://host/chat/ws"}}},
		"names with a single address": {Config{Gateways: []string{"ws://127.0.0.1:1/ws", "wss://[::1]/ws"}}, []gateway{{url: "ws://127.0.0.1:1/ws"}, {url: "wss://[::1]/ws"}}},
	} {
		p := &probe{cfg: test.cfg}
		if got, err := p.gateways(t.Context()); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, test.want)
		}
	}
	p := &probe{cfg: Config{Gateways: []string{"ws://user:secret@no-such-host.invalid/ws"}}}
	_, err := p.gateways(t.Context())
	if e, ok := errors.AsType[*StepError](err); !ok || e.Step != Connect || !strings.Contains(e.Gateway, "no-such-host.invalid") || strings.Contains(err.Error(), "secret") {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestGateway_dialsOneAddressOfAName(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g := gateway{url: "ws://gateways.example.test/ws", dial: l.Addr().String()}
	if want := "ws://gateways.example.test/ws at " + l.Addr().String(); g.name() != want {
		t.Errorf("name %q, want %q", g.name(), want)
	}
	c, err := g.dialer().NetDialContext(t.Context(), "tcp", "gateways.example.test:80")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.RemoteAddr().String(); got != g.dial {
		t.Errorf("connected to %s, want %s", got, g.dial)
	}
	if one := (gateway{url: g.url}); one.dialer().NetDialContext != nil || one.name() != g.url {
		t.Errorf("a name with one address is dialed in another way: %s", one.name())
	}
}

func TestStored_waitsForTheRow(t *testing.T) {
	t.Parallel()
	pg := schematest.Open(t)
	p, err := open(Config{DatabaseURL: pg.URL, DatabaseRole: "parley_ws"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	p.channel = chat.NewChannelID()
	ack := client.Ack{ID: chat.NewEventID(), Seq: 7}
	insert := func(id chat.EventID, seq int64) {
		t.Helper()
		if _, err := pg.Pool(t).Exec(t.Context(), `insert into messages (channel_id, seq, id, kind, sender_id, sent_at) values ($1, $2, $3, 'message', $4, now())`,
			p.channel.UUID, seq, id.UUID, chat.NewUserID().UUID); err != nil {
			t.Fatal(err)
		}
	}
	insert(chat.NewEventID(), 6) // another event
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.stored(ctx, ack); err == nil || !strings.Contains(err.Error(), "there is no row of message "+ack.ID.String()) {
		t.Errorf("without the row: %v", err)
	}
	found := make(chan error, 1)
	go func() { found <- p.stored(t.Context(), ack) }() // awaited below
	insert(ack.ID, 7)
	if err := <-found; err != nil {
		t.Error(err)
	}
}

func TestListener_awaitsItsEventOnly(t *testing.T) {
	t.Parallel()
	e := &listener{gateway: "ws://a/ws", heard: make(chan chat.EventID, 3), done: make(chan struct{}), offline: make(chan client.Connection, 1)}
	mine := chat.NewEventID()
	e.heard <- chat.NewEventID()
	e.heard <- mine
	if err := e.awaitEvent(t.Context(), mine); err != nil || len(e.heard) != 0 {
		t.Errorf("%v; %d events are left, so another one was taken for it", err, len(e.heard))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := e.awaitEvent(ctx, mine)
	if s, ok := errors.AsType[*StepError](err); !ok || s.Step != Hear || s.Gateway != "ws://a/ws" || !strings.Contains(err.Error(), "nothing arrived in time") {
		t.Errorf("in vain: %v", err)
	}
	offline := errors.New("closed with 4000")
	e.offline <- client.Connection{Err: offline}
	if err := e.awaitEvent(ctx, mine); !errors.Is(err, offline) {
		t.Errorf("%v, want why it is offline", err)
	}
	e.err = errors.New("the session has ended")
	close(e.done)
	if err := e.awaitEvent(t.Context(), mine); !errors.Is(err, e.err) {
		t.Errorf("%v, want why it ended", err)
	}
}

func TestPass_failsAtLogin(t *testing.T) {
	t.Parallel()
	p := &probe{cfg: Config{URL: "http://" + freeAddr(t), Timeout: testkit.Timeout}}
	r, err := p.pass(t.Context())
	if e, ok := errors.AsType[*StepError](err); !ok || e.Step != Login || e.Gateway != "" {
		t.Errorf("%v, want a failed login", err)
	}
	if len(r.took) != 0 || r.gateways != 0 || p.passes != 1 {
		t.Errorf("result %+v after %d passes: a failed step has no duration", r, p.passes)
	}
	if err := p.logOut(t.Context()); err != nil {
		t.Errorf("there is no session to end: %v", err)
	}
}

package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
)

// This test uses a gateway with a low open-file limit. It fills the gateway with WebSockets and
// with connections that send nothing. Health checks and metrics must still respond, further
// upgrades must get 503 with Retry-After, the gateway must be able to reconnect to the stores, and
// new clients must be accepted when others have left.
func TestGateway_fewDescriptors(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, map[string]string{"MAX_CONNECTIONS_PER_USER": "0"})
	ann := w.signup("ann")
	channel := ann.createChannel("harbour", "public")
	gw := w.ws[0]
	gw.proc.Term(t)
	metrics := fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t))
	gw.env["WS_METRICS_ADDR"] = metrics
	program := filepath.Join(proctest.Build(t, "ws-server"), "ws-server")
	gw.proc = proctest.StartPath(t, "/bin/sh", []string{"-c", `ulimit -n 256 && exec "$0"`, program}, gw.env)
	gw.proc.WaitReady(t, gw.base+"/readyz")

	header := http.Header{"Authorization": {"Bearer " + ann.Token}}
	var open []*wstest.Conn
	refused := false
	for len(open) < 256 && !refused {
		c, resp, err := wstest.TryDial(t, gw.wsURL()+"/ws?subscribe=none", header)
		switch {
		case err == nil:
			open = append(open, c)
		case resp != nil && resp.StatusCode == http.StatusServiceUnavailable:
			refused = true
			if resp.Header.Get("Retry-After") == "" {
				t.Error("a refusal has no Retry-After")
			}
		default:
			t.Fatalf("after %d connections: %v", len(open), err)
		}
	}
	if !refused || len(open) < 50 {
		t.Fatalf("%d connections are open, refused: %v", len(open), refused)
	}
	addr := strings.TrimPrefix(gw.base, "http://")
	for range 300 { // connections above the limit wait in the kernel
		raw, err := (&net.Dialer{Timeout: time.Minute}).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
	}
	answers := func() error {
		for _, url := range []string{gw.base + "/readyz", "http://" + metrics + "/metrics"} {
			status, body, err := get(url)
			if err != nil || status != http.StatusOK {
				return fmt.Errorf("%s: %d %w", url, status, err)
			}
			if url != gw.base+"/readyz" && (!strings.Contains(body, `parley_ws_refused_connections_total{bound="instance"}`) ||
				!strings.Contains(body, fmt.Sprintf("parley_ws_connections_limit %d\n", len(open)))) {
				return fmt.Errorf("the metrics do not show that the instance is full")
			}
		}
		return nil
	}
	testkit.Until(t, testkit.Timeout, answers)
	if status, _, err := get(gw.base + "/metrics"); err != nil || status != http.StatusNotFound {
		t.Errorf("/metrics at the public address: %d, %v, want 404", status, err)
	}

	// Descriptors are reserved for the stores.
	w.redis.Kill(t)
	w.redis.Start(t)
	id := chat.NewClientID()
	first := open[0]
	first.AwaitType(t, "hello")
	first.Send(t, map[string]any{"type": "subscribe", "ref": "s", "channel_id": channel})
	first.AwaitRef(t, "s")
	testkit.Until(t, testkit.Timeout, func() error {
		first.Send(t, map[string]any{"type": "send", "channel_id": channel, "client_id": id, "body": "still here"})
		f, err := first.TryAwait(time.Minute, func(f wstest.Frame) bool {
			return f.ClientID == id && (f.Type == "ack" || f.Type == "error")
		})
		if err == nil && f.Type == "error" {
			err = fmt.Errorf("refused: %s", f.Raw)
		}
		return err
	})
	testkit.Until(t, testkit.Timeout, answers)

	for _, c := range open[1:11] {
		c.Close()
	}
	testkit.Until(t, testkit.Timeout, func() error {
		c, _, err := wstest.TryDial(t, gw.wsURL()+"/ws?subscribe=none", header)
		if err == nil {
			c.Close()
		}
		return err
	})
	if out := gw.proc.Output(); strings.Contains(out, "Accept error") || strings.Contains(out, "too many open files") {
		t.Errorf("the log has a line per failed accept:\n%s", out)
	}
}

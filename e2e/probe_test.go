package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
)

// probe returns the settings of parley-probe for a deployment.
func (w *world) probe() map[string]string {
	return map[string]string{
		"PROBE_URL": w.chat.base, "PROBE_GATEWAYS": w.ws[0].wsURL() + "/ws," + w.ws[1].wsURL() + "/ws",
		"PROBE_PASSWORD": "correct horse probe", "PROBE_EMAIL": "probe@example.test", "DATABASE_URL": w.chat.env["DATABASE_URL"],
	}
}

// probeOnce makes one pass and returns the exit code and the output.
func probeOnce(t *testing.T, settings map[string]string) (code int, out string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(proctest.Build(t, "parley-probe"), "parley-probe"), "once")
	for name, value := range settings {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	b, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// TestProbe checks that the probe succeeds on a healthy deployment, and names the failing step and
// gateway on any other.
func TestProbe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	patient, hasty := w.probe(), w.probe()
	patient["PROBE_TIMEOUT"], hasty["PROBE_TIMEOUT"] = testkit.Timeout.String(), "10s"

	for range 2 { // the second pass finds the account and the channel
		code, out := probeOnce(t, patient)
		var r map[string]any
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || r["ok"] != true || r["gateways"] != 2.0 || r["store_ms"] == nil {
			t.Fatalf("a healthy deployment: exit %d, %s", code, out)
		}
	}
	var channels, sessions int
	err := w.pool.QueryRow(t.Context(), `select (select count(*) from channels where name = 'parley-probe'),
		(select count(*) from sessions s join users u on u.id = s.user_id where u.username = 'parley-probe' and s.revoked_at is null)`).Scan(&channels, &sessions)
	if err != nil || channels != 1 || sessions != 0 {
		t.Errorf("%d channels of the probe, want 1, and %d open sessions, want none: %v", channels, sessions, err)
	}

	address := fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t))
	serving := w.probe()
	serving["PROBE_ADDR"], serving["PROBE_EVERY"], serving["PROBE_TIMEOUT"] = address, "100ms", "2s"
	proctest.Start(t, "parley-probe", nil, serving)
	awaitUp := func(up string) {
		t.Helper()
		testkit.Until(t, testkit.Timeout, func() error {
			resp, err := http.Get("http://" + address + "/metrics")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err == nil && !strings.Contains(string(text), "\nparley_probe_up "+up+"\n") {
				err = fmt.Errorf("the metrics do not show parley_probe_up %s:\n%s", up, text)
			}
			return err
		})
	}
	awaitUp("1")

	w.ws[1].proc.Kill(t)
	if code, out := probeOnce(t, hasty); code != 1 || !strings.Contains(out, "connect: "+w.ws[1].wsURL()) {
		t.Errorf("without a gateway: exit %d, %s", code, out)
	}
	awaitUp("0")
	w.ws[1].restart()
	awaitUp("1")

	for _, s := range w.sync {
		s.proc.Kill(t)
	}
	if code, out := probeOnce(t, hasty); code != 1 || !strings.Contains(out, "store: there is no row") {
		t.Errorf("without sync-service: exit %d, %s", code, out)
	}
	w.chat.proc.Kill(t)
	if code, out := probeOnce(t, hasty); code != 1 || !strings.Contains(out, "login: ") || strings.Contains(out, "correct horse") {
		t.Errorf("without chat-service: exit %d, %s", code, out)
	}
	bad := w.probe()
	bad["PROBE_GATEWAYS"], bad["PROBE_PASSWORD"] = "http://x", ""
	if code, out := probeOnce(t, bad); code != 1 || !strings.Contains(out, "PROBE_GATEWAYS") || !strings.Contains(out, "PROBE_PASSWORD") {
		t.Errorf("with bad settings: exit %d, %s", code, out)
	}
}

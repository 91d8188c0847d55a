package chatservice_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley.chat/chat-service/internal/chattest"
	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
)

// TestProcess runs the program as in a deployment.
func TestProcess(t *testing.T) {
	t.Parallel()
	w := chattest.OpenWithRedis(t)
	addr, metricsAddr := fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t))
	p := proctest.Start(t, "chat-service", nil, map[string]string{
		"CHAT_ADDR": addr, "CHAT_METRICS_ADDR": metricsAddr, "DATABASE_URL": w.PG.URL, "REDIS_URL": w.Redis.URL(), "JWT_KEYS_DIR": t.TempDir(),
	})
	p.WaitReady(t, "http://"+addr+"/readyz")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) string {
		t.Helper()
		resp, err := client.Get("http://" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	for _, tt := range []struct{ path, want string }{
		{addr + "/healthz", `"ok"`},
		{addr + "/.well-known/jwks.json", `"OKP"`},
		{addr + "/v1/me", `"unauthenticated"`},
		{addr + "/nothing", `"not_found"`},
		{addr + "/", `<title>Parley`},
		{addr + "/metrics", `"not_found"`},
		{metricsAddr + "/metrics", `parley_chat_http_requests_total{code="401",method="GET",route="/v1/me"} 1`},
	} {
		if body := get(tt.path); !strings.Contains(body, tt.want) {
			t.Errorf("%s = %s, want it to contain %s", tt.path, body, tt.want)
		}
	}
	p.Term(t)
	if strings.Contains(p.Output(), `"level":"ERROR"`) {
		t.Errorf("log:\n%s", p.Output())
	}
}

// TestProcess_otherPartitions checks that the program refuses to start with a different number of
// partitions and names the setting.
func TestProcess_otherPartitions(t *testing.T) {
	t.Parallel()
	w := chattest.OpenWithRedis(t)
	if err := w.RDB.Set(t.Context(), "parley:partitions", 8, 0).Err(); err != nil {
		t.Fatal(err)
	}
	p := proctest.Start(t, "chat-service", nil, map[string]string{
		"CHAT_ADDR": fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t)), "DATABASE_URL": w.PG.URL, "REDIS_URL": w.Redis.URL(), "JWT_KEYS_DIR": t.TempDir(),
	})
	<-p.Done()
	if !strings.Contains(p.Output(), "STREAM_PARTITIONS") {
		t.Errorf("output:\n%s", p.Output())
	}
}

// TestProcess_operator checks that the operator command works without a running service.
func TestProcess_operator(t *testing.T) {
	t.Parallel()
	w := chattest.Open(t, "Ann")
	operator := func(args ...string) (int, string) {
		t.Helper()
		p := proctest.Start(t, "chat-service", append([]string{"operator"}, args...), map[string]string{"DATABASE_URL": w.PG.URL})
		return p.Wait(t, 20*time.Second), p.Output()
	}
	for _, tt := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"list"}, 0, ""},
		{[]string{"grant", "ann"}, 0, ""},
		{[]string{"list"}, 0, "Ann\n"},
		{[]string{"grant", "bob"}, 1, "bob: no such user"},
		{[]string{"revoke", "ANN"}, 0, ""},
		{[]string{"list"}, 0, ""},
		{[]string{"grant"}, 1, "see --help"},
		{nil, 1, "see --help"},
	} {
		if code, out := operator(tt.args...); code != tt.code || !strings.Contains(out, tt.out) || tt.out == "" && out != "" {
			t.Errorf("operator %v = %d %q, want %d %q", tt.args, code, out, tt.code, tt.out)
		}
	}
}

// TestProcess_refusesSettings checks that an invalid setting ends the program with an error that
// names the variable.
func TestProcess_refusesSettings(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"ACCESS_TOKEN_TTL": "25h", // exceeds the maximum lifetime of a token
	} {
		p := proctest.Start(t, "chat-service", nil, map[string]string{
			"CHAT_ADDR": fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t)), "JWT_KEYS_DIR": t.TempDir(), name: value,
		})
		if code := p.Wait(t, testkit.Timeout); code == 0 || !strings.Contains(p.Output(), name+": ") {
			t.Errorf("%s=%s: exit code %d, output:\n%s", name, value, code, p.Output())
		}
	}
}

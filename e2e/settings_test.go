package e2e_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
)

// malformed lists invalid values that contain a secret. Such values occur in practice: a password
// that was not percent-encoded, a URL without its scheme, the value of another setting.
var malformed = []string{
	"redis://user:p%zzhunter2@host", "https://:hunter2/x@host:y", "host=localhost password='hunter2 port=x", "hunter2",
}

// plainSettings lists the settings that never contain a secret, including origins. An error may
// quote their value.
var plainSettings = regexp.MustCompile(`(_ADDR|^ADDR|_DIR|_ROLE|_NAME|LOG_LEVEL|OPS_FOR|TRUSTED_PROXIES|PUBLIC_ORIGINS|PUBLIC_HOSTS|ADD_WITHOUT_INVITATION|_COMPRESSION)$`)

// No program may show the value of a setting that can contain a secret, no matter why the value is
// invalid.
func TestSettings_areNotShown(t *testing.T) {
	t.Parallel()
	list := regexp.MustCompile(`(?m)^\s+([A-Z][A-Z0-9_]{2,})\s+(string|list)\s`)
	for _, program := range []string{"chat-service", "ws-server", "sync-service", "standalone", "migrate", "parley-probe"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			settings := []string{"DATABASE_URL"}
			args := []string(nil)
			if program == "migrate" {
				args = []string{"status"}
			} else {
				help := proctest.Start(t, program, []string{"--help"}, nil)
				help.Wait(t, time.Minute)
				settings = nil
				for _, m := range list.FindAllStringSubmatch(help.Output(), -1) {
					if !plainSettings.MatchString(m[1]) {
						settings = append(settings, m[1])
					}
				}
			}
			if len(settings) == 0 {
				t.Fatal("no settings to try")
			}
			for _, setting := range settings {
				for _, value := range malformed {
					env := map[string]string{
						"CHAT_ADDR": "127.0.0.1:0", "WS_ADDR": "127.0.0.1:0", "SYNC_ADDR": "127.0.0.1:0", "ADDR": "127.0.0.1:0",
						"DATABASE_URL": "postgres://127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1", "JWT_KEYS_DIR": t.TempDir(), "DATA_DIR": t.TempDir(),
						"LOG_LEVEL": "debug", "JWKS_URL": "http://127.0.0.1:1",
						"PROBE_ADDR": "127.0.0.1:0", "PROBE_URL": "http://127.0.0.1:1", "PROBE_PASSWORD": "x",
					}
					env[setting] = value
					p := proctest.Start(t, program, args, env)
					testkit.Until(t, testkit.Timeout, func() error {
						select {
						case <-p.Done(): // the program has refused the value
							return nil
						default:
						}
						if !strings.Contains(p.Output(), "waiting for Redis") && !strings.Contains(p.Output(), "the pass failed") { // the program has accepted the value and is starting
							return fmt.Errorf("%s=%q: %s neither exits nor starts: %s", setting, value, program, p.Output())
						}
						return nil
					})
					p.Kill(t)
					if out := p.Output(); strings.Contains(out, "hunter2") || strings.Contains(out, "%zz") {
						t.Errorf("%s=%q is shown:\n%s", setting, value, out)
					}
				}
			}
		})
	}
}

package databaseurl_test

import (
	"strings"
	"testing"

	"parley.chat/internal/platform/databaseurl"
)

func TestParse_hidesTheValue(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"postgres://user:p%zzhunter2@host/db", "postgres://user:hun@ter2%@host/db", "postgres://user:hunter2@host:port/db",
		"postgres://user:hunter2@host/db?sslmode=hunter2", "postgres://user:hunter2@host/db?connect_timeout=hunter2", "hunter2://user@host",
		"host=localhost password=hunter2 port=hunter2", "host=localhost password='hunter2", "hunter2", "postgres://us er:hunter2@ho st/db",
	} {
		cfg, err := databaseurl.Parse(bad)
		if err == nil {
			t.Errorf("Parse(%q) = host %q, want an error", bad, cfg.Host)
			continue
		}
		if !strings.HasPrefix(err.Error(), "DATABASE_URL: ") || strings.Contains(err.Error(), "hun") || strings.Contains(err.Error(), "ter2") || strings.Contains(err.Error(), "zz") {
			t.Errorf("Parse(%q) = %q", bad, err)
		}
	}
	if cfg, err := databaseurl.Parse("postgres://user:secret@host:5433/db"); err != nil || cfg.Host != "host" || cfg.Port != 5433 || cfg.Password != "secret" {
		t.Errorf("%v, %v", cfg, err)
	}
}

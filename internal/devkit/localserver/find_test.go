package localserver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// script creates an executable script in dir.
func script(t *testing.T, dir, name, body string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func postgresScript(t *testing.T, dir, version string) {
	t.Helper()
	script(t, dir, "postgres", "echo 'postgres (PostgreSQL) "+version+" (Debian)'")
	script(t, dir, "initdb", "exit 1")
}

func TestFind_newestFirst(t *testing.T) {
	root := t.TempDir()
	t.Setenv("PATH", root+"/path")
	for _, v := range []string{"9.6", "15.4", "17.2", "18beta1"} {
		postgresScript(t, filepath.Join(root, "postgresql", v, "bin"), v)
	}
	script(t, root+"/path", "valkey-server", "echo 'Valkey server v=8.0.1 sha=0'")
	got, err := find(t.Context(), []string{root + "/postgresql/*/bin"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.PostgresVersion != "18beta1" || got.RedisVersion != "8.0.1" || filepath.Base(got.Redis) != "valkey-server" {
		t.Errorf("Find = %+v", got)
	}
	postgresScript(t, root+"/path", "16.1")
	if got, err := find(t.Context(), []string{root + "/postgresql/*/bin"}, nil); err != nil || got.PostgresVersion != "16.1" {
		t.Errorf("Find = %+v, %v; want what is on PATH", got, err)
	}
}

func TestFind_missing(t *testing.T) {
	root := t.TempDir()
	t.Setenv("PATH", root+"/nothing")
	script(t, root, "redis-server", "echo 'Redis server v=6.2.7 sha=0'")
	postgresScript(t, root, "14.9")
	_, err := find(t.Context(), []string{root}, []string{root})
	missing, ok := errors.AsType[*MissingError](err)
	if !ok || !missing.Postgres || !missing.Redis {
		t.Fatalf("Find = %v, want a MissingError for both", err)
	}
	for _, want := range []string{"PostgreSQL 15", "Redis 7.0", "PostgreSQL 14.9", "redis-server 6.2.7", "apt-get", "docker compose up", "DATABASE_URL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}

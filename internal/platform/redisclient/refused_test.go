package redisclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/rediskey"
)

const within = time.Minute

// No error about a malformed REDIS_URL may show any part of its password.
func TestOpen_hidesTheValue(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"redis://user:p%zzhunter2@host", "redis://user:hunter2%@host", "redis://:hunter2#more@host", "redis://:hunter2/more@host:1/2/3",
		"redis://user:hunter2@host:port", "redis://user:hunter2@host/hunter2", "redis://user:hunter2@host?pool_size=hunter2",
		"redis://user:hunter2@host?hunter2=1", "redis://user:hunter2@host?cluster=hunter2", "hunter2", "hunter2://host",
		"redis://user:hunter2@a,redis://user:hunter2@b:hunter2", "redis://user:hunter2@a,rediss://b", "redis://user:hunter2@a,redis://user:hunter3@b",
		"redis://user:hunter2@a/1,redis://b/1", "unix:///hunter2?cluster=true",
	} {
		rdb, err := Open(bad, Options{})
		if err == nil {
			t.Errorf("Open(%q) = %v, want an error", bad, rdb)
			continue
		}
		if !strings.HasPrefix(err.Error(), "REDIS_URL: ") || strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "zz") {
			t.Errorf("Open(%q) = %q", bad, err)
		}
	}
}

// A refusal by the server is logged with one line that gives the reason, and has a description for
// /readyz. The wait ends when the cause has been repaired.
func TestAwait_wrongPassword(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	if err := s.Client(t).Do(t.Context(), "acl", "setuser", "parley", "on", ">right-one", "~*", "&*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	rdb := open(t, "redis://parley:hunter2@"+s.Addr())
	log := &testkit.Output{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- Await(ctx, rdb, 16, nil, slog.New(slog.NewTextHandler(log, nil))) }()
	testkit.Until(t, testkit.Timeout, func() error {
		if !strings.Contains(log.String(), "refuses the user name or the password") {
			return fmt.Errorf("log: %s", log)
		}
		return nil
	})
	err := Check(t.Context(), rdb, 16)
	if reason := Reason(err); reason != "refuses the user name or the password" {
		t.Errorf("Reason(%v) = %q", err, reason)
	}
	if err := s.Client(t).Do(t.Context(), "acl", "setuser", "parley", ">hunter2").Err(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(within):
		t.Fatal("Await does not notice that the password is now correct")
	}
	if n := strings.Count(log.String(), "waiting for Redis"); n != 1 {
		t.Errorf("%d lines about one reason:\n%s", n, log)
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("the log shows the password:\n%s", log)
	}
}

// If a user lacks permission for a command, Await names the command instead of waiting.
func TestAwait_missingCommands(t *testing.T) {
	t.Parallel()
	acl := filepath.Join(t.TempDir(), "users.acl")
	users := "user default on nopass ~* &* +@all\n" +
		"user few on >x ~parley:* &parley:* +@all -spublish -xgroup|create -incr -ssubscribe\n" +
		"user none on >x ~parley:* &parley:* +info +ping +hello +auth\n" +
		"user keys on >x ~other:* &parley:* +@all\n"
	if err := os.WriteFile(acl, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	s := redistest.NewServer(t, redistest.Options{Settings: map[string]string{"aclfile": acl}})
	await := func(user string, commands Commands) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return Await(ctx, open(t, fmt.Sprintf("redis://%s:x@%s", user, s.Addr())), 16, commands, silent)
	}
	for _, tt := range []struct {
		user     string
		commands Commands
		names    []string
	}{
		{"few", SyncService, []string{"spublish", "xgroup|create"}},
		{"few", ChatService, []string{"incr", "spublish"}},
		{"few", WSServer, []string{"spublish", "ssubscribe"}},
		{"none", ChatService, []string{"multi"}},
		{"keys", ChatService, []string{"get", "setnx"}},
	} {
		err := await(tt.user, tt.commands)
		if !errors.Is(err, ErrUnsuitable) {
			t.Errorf("%s: %v, want an ErrUnsuitable", tt.user, err)
			continue
		}
		for _, name := range tt.names {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v; want it to name %s", tt.user, err, name)
			}
		}
		if strings.Contains(err.Error(), "xadd") && tt.user == "few" {
			t.Errorf("%s: %v; it names a permitted command", tt.user, err)
		}
	}
	if err := await("default", join(ChatService, WSServer, SyncService)); err != nil {
		t.Errorf("a user with all permissions: %v", err)
	}
	// Checking must not execute the commands.
	keys, err := s.Client(t).Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 1 || keys[0] != rediskey.Partitions {
		t.Errorf("keys %q, %v", keys, err)
	}
}

// The call for every command must be valid: Redis rejects an invalid call before it checks
// permissions, so the command would count as permitted.
func TestCommands_haveValidCalls(t *testing.T) {
	t.Parallel()
	acl := filepath.Join(t.TempDir(), "users.acl")
	if err := os.WriteFile(acl, []byte("user default on nopass ~* &* +@all\nuser none on >x ~* &* +multi\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := redistest.NewServer(t, redistest.Options{Settings: map[string]string{"aclfile": acl}})
	all := join(ChatService, WSServer, SyncService)
	node := open(t, "redis://none:x@"+s.Addr())
	var refused Commands
	err := eachMaster(t.Context(), node, func(c *redis.Client) (err error) {
		refused, err = all.refused(t.Context(), c, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := join(refused), join(all); len(got) != len(want)-1 { // all except multi
		for _, name := range want {
			if !strings.Contains(","+strings.Join(got, ",")+",", ","+name+",") && name != "multi" {
				t.Errorf("%s is not refused to a user without it: its call is not valid", name)
			}
		}
	}
}

// Check distinguishes a read-only replica, a full server and a server that is loading. In each of
// these cases, Redis is only temporarily unusable.
func TestCheck_cannotWrite(t *testing.T) {
	t.Parallel()
	master := redistest.NewServer(t)
	s := redistest.NewServer(t, redistest.Options{MaxMemory: 8 << 20})
	rdb := open(t, s.URL())
	if err := Check(t.Context(), rdb, 16); err != nil {
		t.Fatal(err)
	}
	admin := s.Client(t)
	if err := admin.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	err := Check(t.Context(), rdb, 16)
	if reason := Reason(err); reason != "has no memory left for writes" || errors.Is(err, ErrUnsuitable) {
		t.Errorf("full: %v, %q", err, reason)
	}
	if err := admin.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(master.Addr(), ":")
	if err := admin.Do(t.Context(), "replicaof", host, port).Err(); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		err := Check(t.Context(), rdb, 16)
		if reason := Reason(err); reason != "is a read-only replica" {
			return fmt.Errorf("%q: %w", reason, err)
		}
		return nil
	})
	if err := admin.Do(t.Context(), "replicaof", "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, testkit.Timeout, func() error { return Check(t.Context(), rdb, 16) })
}

func TestReason(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	for url, want := range map[string]string{
		"rediss://" + s.Addr():         "does not answer in time",
		"redis://127.0.0.1:1":          "cannot be reached",
		"redis://" + s.Addr() + "?x=1": "",
		"unix:///no/such/socket":       "cannot be reached",
		s.URL() + "/0?cluster=true":    "cannot be used with these settings",
		"redis://nobody:x@" + s.Addr(): "refuses the user name or the password",
		"redis://user.invalid:6379":    "cannot be reached",
	} {
		rdb, err := Open(url, Options{})
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", url, err)
			}
			continue
		}
		err = Check(t.Context(), rdb, 16)
		if reason := Reason(err); want == "" || !strings.HasPrefix(reason, want) {
			t.Errorf("%s: %q (%v), want %q", url, reason, err, want)
		}
		_ = rdb.Close()
	}
}

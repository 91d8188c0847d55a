package e2e_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/certtest"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-migrations/schematest"
)

const (
	redisPassword = "p@ss/w%rd"
	redisEscaped  = "p%40ss%2Fw%25rd"
)

// aclFile returns deploy/redis/users.acl with the password filled in, as start.sh does.
func aclFile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "deploy", "redis", "users.acl"))
	if err != nil {
		t.Fatal(err)
	}
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(redisPassword)))
	filled := string(text)
	for _, who := range []string{"ADMIN", "CHAT", "WS", "SYNC"} {
		filled = strings.ReplaceAll(filled, who+"_PASSWORD_SHA256", hash)
	}
	// The test's own connections to the servers need no password.
	filled = strings.Replace(filled, "user default on nopass resetkeys resetchannels -@all +ping", "user default on nopass ~* &* +@all", 1)
	file := filepath.Join(t.TempDir(), "users.acl")
	if err := os.WriteFile(file, []byte(filled), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// denied returns the commands that a server has refused to its users because a permission was
// missing.
func denied(t *testing.T, s *redistest.Server) []string {
	t.Helper()
	entries, err := s.Client(t).ACLLog(t.Context(), 100).Result()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		if e.Object != "client|setinfo" && e.Object != "client|maint_notifications" { // go-redis works without these
			list = append(list, e.Username+": "+e.Reason+" "+e.Object)
		}
	}
	return list
}

// userURL returns the REDIS_URL of a service, with its user in deploy/redis/users.acl.
func userURL(scheme, service, addr string) string {
	return fmt.Sprintf("%s://%s:%s@%s", scheme, service, redisEscaped, addr)
}

var redisUsers = map[string]string{"chat-service": "parley-chat", "ws-server": "parley-ws", "sync-service": "parley-sync"}

// journey signs two users up, lets them chat over two gateways, and waits until the messages are in
// PostgreSQL.
func (w *world) journey() {
	w.t.Helper()
	ann, bob := w.signup("ann"), w.signup("bob")
	channel := ann.createChannel("harbour", "public")
	bob.join(channel)
	a, b := ann.connect(w.ws[0]), bob.connect(w.ws[1])
	a.Send(w.t, map[string]any{"type": "typing", "channel_id": channel, "typing": true})
	for i := range 20 {
		id := chat.NewClientID()
		a.Send(w.t, map[string]any{"type": "send", "channel_id": channel, "client_id": id, "body": fmt.Sprint("message ", i)})
		a.Await(w.t, "the ack", func(f wstest.Frame) bool { return f.Type == "ack" && f.ClientID == id })
		f := b.Await(w.t, "the message", func(f wstest.Frame) bool { return f.Type == "message" && f.Body == fmt.Sprint("message ", i) })
		b.Send(w.t, map[string]any{"type": "read", "channel_id": channel, "seq": f.Seq})
	}
	testkit.Until(w.t, testkit.Timeout, func() error {
		n := 0
		for _, r := range w.rows(channel) {
			if r.Kind == "message" {
				n++
			}
		}
		if n != 20 {
			return fmt.Errorf("%d messages are stored, want 20", n)
		}
		return nil
	})
	if got := ann.history(channel); len(got) != 20 {
		w.t.Errorf("history has %d messages", len(got))
	}
	w.call(http.MethodPost, "/v1/channels/"+channel.String()+"/leave", bob.Token, nil, 0, nil)
	status, _ := w.request(http.MethodPost, w.chat.base+"/v1/login", "", map[string]string{"login": "ann", "password": "wrong", "session": "bearer"})
	if status != http.StatusUnauthorized {
		w.t.Errorf("a wrong password: status %d", status)
	}
	w.call(http.MethodPost, "/v1/logout", ann.Token, nil, 0, nil)
}

// This test checks that the services work with the permissions in deploy/redis/users.acl, and that
// Redis refuses none of their commands.
func TestRedis_leastRights(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t, redistest.Options{Settings: map[string]string{"aclfile": aclFile(t)}})
	w := newWorldOn(t, s, func(service string) map[string]string {
		return map[string]string{"REDIS_URL": userURL("redis", redisUsers[service], s.Addr())}
	})
	w.journey()
	for _, args := range [][]string{{"status"}, {"verify"}, {"dead", "list"}, {"backlog"}} {
		env := map[string]string{"DATABASE_URL": w.sync[0].env["DATABASE_URL"], "REDIS_URL": w.sync[0].env["REDIS_URL"]}
		tool := proctest.Start(t, "sync-service", args, env)
		if code := tool.Wait(t, time.Minute); code != 0 {
			t.Errorf("sync-service %v: exit code %d: %s", args, code, tool.Output())
		}
	}
	if list := denied(t, s); len(list) > 0 {
		t.Errorf("Redis refused:\n%s", strings.Join(list, "\n"))
	}
	for _, i := range w.all() {
		if out := i.proc.Output(); strings.Contains(out, redisPassword) || strings.Contains(out, redisEscaped) {
			t.Errorf("%s shows the password:\n%s", i.name, out)
		}
	}
}

// This test uses one URL that resolves to a node of a Cluster. The nodes use TLS, each with its own
// certificate, and have the users in the ACL file. Clients, the event log's connections and
// sync-service's reads must find and verify every node.
func TestRedis_clusterWithCertificatesPerNode(t *testing.T) {
	t.Parallel()
	authority, err := certtest.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	acl := aclFile(t)
	host := func(i int) string { return fmt.Sprintf("127.0.0.%d", i+2) } // Linux routes all of 127.0.0.0/8 to loopback
	ports := []int{proctest.FreePort(t), proctest.FreePort(t), proctest.FreePort(t)}
	c := redistest.Cluster(t, 3, 0, redistest.Options{Node: func(i int) map[string]string {
		s := authority.Redis(t, host(i), ports[i])
		maps.Copy(s, map[string]string{
			"tls-cluster": "yes", "bind": "127.0.0.1 " + host(i), "cluster-announce-ip": host(i), "aclfile": acl,
		})
		return s
	}})
	w := newWorldOn(t, nil, func(service string) map[string]string {
		return map[string]string{
			"REDIS_URL":     userURL("rediss", redisUsers[service], fmt.Sprintf("%s:%d", host(0), ports[0])),
			"SSL_CERT_FILE": authority.File,
		}
	})
	w.journey()
	used := 0
	for _, m := range c.Masters {
		if n, err := m.Client(t).DBSize(t.Context()).Result(); err == nil && n > 0 {
			used++
		}
		if list := denied(t, m); len(list) > 0 {
			t.Errorf("Redis refused:\n%s", strings.Join(list, "\n"))
		}
	}
	if used != 3 {
		t.Errorf("%d of 3 nodes hold keys", used)
	}
}

// start.sh must fill in the passwords in such a way that they appear in no file and on no command
// line.
func TestRedis_startScript(t *testing.T) {
	t.Parallel()
	found, err := localserver.Find(t.Context())
	if found.Redis == "" {
		t.Fatal(err)
	}
	dir, port := t.TempDir(), proctest.FreePort(t)
	script, err := filepath.Abs(filepath.Join("..", "deploy", "redis", "start.sh"))
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(dir, "users.acl")
	p := proctest.StartPath(t, "/bin/sh", []string{script, "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--dir", dir, "--save", ""}, map[string]string{
		"PATH": filepath.Dir(found.Redis) + ":" + os.Getenv("PATH"), "REDIS_PASSWORD": redisPassword, "REDIS_SYNC_PASSWORD": "another/one",
		"REDIS_ACL_TEMPLATE": filepath.Join(filepath.Dir(script), "users.acl"), "REDIS_ACL_FILE": users,
	})
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	ask := func(user, password string) error {
		c := redis.NewClient(&redis.Options{Addr: addr, Username: user, Password: password, MaxRetries: -1})
		defer c.Close()
		return c.Get(t.Context(), "parley:partitions").Err()
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if err := ask("parley-chat", redisPassword); err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("%w; %s", err, p.Output())
		}
		return nil
	})
	if err := ask("parley-sync", "another/one"); !errors.Is(err, redis.Nil) {
		t.Errorf("with its own password: %v", err)
	}
	for user, password := range map[string]string{"parley-ws": "wrong", "": ""} {
		if err := ask(user, password); err == nil || errors.Is(err, redis.Nil) {
			t.Errorf("user %q can log in", user)
		}
	}
	if text, err := os.ReadFile(users); err != nil || strings.Contains(string(text), redisPassword) || strings.Contains(string(text), "SHA256") {
		t.Errorf("%s, %v", text, err)
	}
}

// If Redis was killed while it was writing a transaction, start.sh must remove the transaction from
// the append-only file as a whole. It must not touch a file that is damaged elsewhere.
func TestRedis_startScriptRepairs(t *testing.T) {
	t.Parallel()
	found, err := localserver.Find(t.Context())
	if found.Redis == "" {
		t.Fatal(err)
	}
	script, err := filepath.Abs(filepath.Join("..", "deploy", "redis", "start.sh"))
	if err != nil {
		t.Fatal(err)
	}
	s := redistest.NewServer(t)
	for i := range 3 {
		_, err := s.Client(t).TxPipelined(t.Context(), func(p redis.Pipeliner) error {
			p.RPush(t.Context(), "list", i)
			p.Set(t.Context(), "last", i, 0)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Kill(t)
	file := filepath.Join("appendonlydir", "appendonly.aof.1.incr.aof")
	text, err := os.ReadFile(filepath.Join(s.Dir(), file))
	if err != nil {
		t.Fatal(err)
	}
	truncated := string(text[:len(text)-len("*1\r\n$4\r\nEXEC\r\n")-3])
	for name, c := range map[string]struct{ content, after string }{
		"whole":     {string(text), string(text)},
		"truncated": {truncated, truncated[:strings.LastIndex(truncated, "*1\r\n$5\r\nMULTI")]},
		"damaged":   {strings.Replace(truncated, "$4\r\nlist", "!4\r\nlist", 1), strings.Replace(truncated, "$4\r\nlist", "!4\r\nlist", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(s.Dir())); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			// redis-server is replaced by a program that only prints how it was called.
			bin := t.TempDir()
			if err := os.WriteFile(filepath.Join(bin, "redis-server"), []byte("#!/bin/sh\necho started \"$@\"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			p := proctest.StartPath(t, "/bin/sh", []string{script, "--appendonly", "yes"}, map[string]string{
				"PATH": bin + ":" + filepath.Dir(found.Redis) + ":" + os.Getenv("PATH"), "REDIS_PASSWORD": redisPassword, "REDIS_DATA_DIR": dir,
				"REDIS_ACL_TEMPLATE": filepath.Join(filepath.Dir(script), "users.acl"), "REDIS_ACL_FILE": filepath.Join(dir, "users.acl"),
			})
			if code := p.Wait(t, testkit.Timeout); code != 0 || !strings.Contains(p.Output(), "started --aof-load-truncated no --aclfile") {
				t.Fatalf("exit code %d: %s", code, p.Output())
			}
			if after, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(after) != c.after {
				t.Errorf("%v; the file is\n%q, want\n%q", err, after, c.after)
			}
		})
	}
}

// With REDIS_TLS_DIR, Redis must accept only TLS.
func TestRedis_startScriptWithTLS(t *testing.T) {
	t.Parallel()
	found, err := localserver.Find(t.Context())
	if found.Redis == "" {
		t.Fatal(err)
	}
	script, err := filepath.Abs(filepath.Join("..", "deploy", "redis", "start.sh"))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := certtest.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir, port := t.TempDir(), proctest.FreePort(t)
	cert, key := authority.Server(t, "127.0.0.1")
	if err := errors.Join(os.Rename(cert, filepath.Join(dir, "redis.crt")), os.Rename(key, filepath.Join(dir, "redis.key"))); err != nil {
		t.Fatal(err)
	}
	p := proctest.StartPath(t, "/bin/sh", []string{script, "--tls-port", fmt.Sprint(port), "--bind", "127.0.0.1", "--dir", dir, "--save", ""}, map[string]string{
		"PATH": filepath.Dir(found.Redis) + ":" + os.Getenv("PATH"), "REDIS_PASSWORD": redisPassword, "REDIS_TLS_DIR": dir,
		"REDIS_ACL_TEMPLATE": filepath.Join(filepath.Dir(script), "users.acl"), "REDIS_ACL_FILE": filepath.Join(dir, "users.acl"),
	})
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	ask := func(config *tls.Config) error {
		c := redis.NewClient(&redis.Options{Addr: addr, Username: "parley-chat", Password: redisPassword, TLSConfig: config, MaxRetries: -1})
		defer c.Close()
		return c.Get(t.Context(), "parley:partitions").Err()
	}
	ca, err := os.ReadFile(authority.File)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	testkit.Until(t, testkit.Timeout, func() error {
		if err := ask(&tls.Config{RootCAs: roots}); !errors.Is(err, redis.Nil) {
			return fmt.Errorf("%w; %s", err, p.Output())
		}
		return nil
	})
	if err := ask(nil); err == nil || errors.Is(err, redis.Nil) {
		t.Errorf("without TLS: %v, want it refused", err)
	}
}

// A wrong password, and a missing permission, must each cause one line in each service's log.
// /readyz must report the wrong password as a reason. No service may wait silently, and no output
// may contain the password.
func TestRedis_missingRights(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t, redistest.Options{Settings: map[string]string{"aclfile": aclFile(t)}})
	db := schematest.Open(t)
	for name, addrVar := range map[string]string{"chat-service": "CHAT_ADDR", "ws-server": "WS_ADDR", "sync-service": "SYNC_ADDR"} {
		addr := fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t))
		env := map[string]string{"DATABASE_URL": db.URL, addrVar: addr, "JWT_KEYS_DIR": t.TempDir(), "REDIS_URL": "redis://" + redisUsers[name] + ":hunter2@" + s.Addr()}
		p := proctest.Start(t, name, nil, env)
		testkit.Until(t, testkit.Timeout, func() error {
			if !strings.Contains(p.Output(), "refuses the user name or the password") {
				return fmt.Errorf("%s does not give the reason for waiting: %s", name, p.Output())
			}
			status, body, err := get("http://" + addr + "/readyz")
			if err != nil {
				return err
			}
			if status != http.StatusServiceUnavailable || !strings.Contains(body, "refuses the user name or the password") || strings.Contains(body, s.Addr()) {
				return fmt.Errorf("%s: /readyz %d %s", name, status, body)
			}
			return nil
		})
		p.Term(t)
		if n := strings.Count(p.Output(), "waiting for Redis"); n != 1 || strings.Contains(p.Output(), "hunter2") {
			t.Errorf("%s: %d lines, or the password is shown:\n%s", name, n, p.Output())
		}
		// With another service's user, permissions for some commands are missing: the program must
		// exit and name the commands.
		other := map[string]string{"chat-service": "parley-sync", "ws-server": "parley-chat", "sync-service": "parley-ws"}[name]
		env["REDIS_URL"] = userURL("redis", other, s.Addr())
		p = proctest.Start(t, name, nil, env)
		if code := p.Wait(t, time.Minute); code == 0 {
			t.Errorf("%s as %s: exit code 0", name, other)
		}
		missing := map[string]string{"chat-service": "incr", "ws-server": "ssubscribe", "sync-service": "xreadgroup"}[name]
		if !strings.Contains(p.Output(), missing) {
			t.Errorf("%s as %s does not name %s:\n%s", name, other, missing, p.Output())
		}
	}
}

// Services must disconnect from a demoted master that is still reachable, and write to the new
// master.
func TestRedis_demotedMaster(t *testing.T) {
	t.Parallel()
	old, next := redistest.NewServer(t), redistest.NewServer(t)
	replicate := func(replica, master *redistest.Server) {
		host, port, _ := strings.Cut(master.Addr(), ":")
		if err := replica.Client(t).Do(t.Context(), "replicaof", host, port).Err(); err != nil {
			t.Fatal(err)
		}
	}
	replicate(next, old)
	gate := redistest.NewSwitch(t, old.Addr())
	w := newWorldOn(t, nil, func(string) map[string]string { return map[string]string{"REDIS_URL": "redis://" + gate.Addr()} })
	ann := w.signup("ann")
	channel := ann.createChannel("harbour", "public")
	conn := ann.connect(w.ws[0])
	send := func(body string) {
		t.Helper()
		id := chat.NewClientID()
		testkit.Until(t, testkit.Timeout, func() error { // repeats a refused send, as clients do
			conn.Send(t, map[string]any{"type": "send", "channel_id": channel, "client_id": id, "body": body})
			f := conn.Await(t, "an answer", func(f wstest.Frame) bool { return f.ClientID == id && (f.Type == "ack" || f.Type == "error") })
			if f.Type == "error" {
				return fmt.Errorf("refused: %s", f.Raw)
			}
			return nil
		})
	}
	send("before")
	testkit.Until(t, testkit.Timeout, func() error { return inStep(t, old.Client(t), next.Client(t)) })
	// The gate directs new connections to the new master; open connections to the old one stay
	// open.
	if err := next.Client(t).Do(t.Context(), "replicaof", "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	gate.Lead(next.Addr())
	replicate(old, next)
	send("after")
	bob := w.signup("bob") // chat-service, which has connection pools
	bob.join(channel)
	testkit.Until(t, testkit.Timeout, func() error {
		for _, i := range w.all() {
			if status, body, err := get(i.base + "/readyz"); err != nil || status != http.StatusOK {
				return fmt.Errorf("%s: %d %s %w", i.name, status, body, err)
			}
		}
		kinds := map[string]int{}
		for _, r := range w.rows(channel) {
			kinds[r.Kind]++
		}
		if kinds["message"] != 2 || kinds["member_joined"] != 2 {
			return fmt.Errorf("stored: %v", kinds)
		}
		return nil
	})
}

func inStep(t *testing.T, master, replica *redis.Client) error {
	t.Helper()
	a, err := master.DBSize(t.Context()).Result()
	if err != nil {
		return err
	}
	b, err := replica.DBSize(t.Context()).Result()
	if err == nil && a != b {
		err = fmt.Errorf("master has %d keys, replica %d", a, b)
	}
	return err
}

// get returns the response to a GET request.
func get(url string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

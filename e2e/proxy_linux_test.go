package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/dnstest"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/devkit/testkit/wstest"
)

// proxied is a deployment behind nginx with the unmodified deploy/nginx/nginx.conf. nginx runs on a
// simulated host, where it can use its fixed port and its resolver, and finds the services by the
// names and ports of the configuration. The services run on this machine as usual; a second
// simulated host forwards their ports.
type proxied struct {
	*world
	nginx *proctest.Process
	names *dnstest.Server
	hosts *network
	url   string // address of nginx, for clients on this machine

	mu   sync.Mutex
	open map[*instance]func() // stops forwarding to a running instance
}

// proxyLimit bounds every wait for the deployment behind nginx. It is long, because the machine may
// be very busy.
const proxyLimit = 2 * time.Minute

// Addresses of the link between the two hosts.
const (
	proxyAddress   = "10.213.7.1"
	clientAddress  = "10.213.7.2"
	chatAddress    = "10.213.7.10"
	gatewayAddress = "10.213.7.2%d"
	movedAddress   = "10.213.7.30"
)

func newProxied(t *testing.T) *proxied {
	t.Helper()
	program := nginxProgram(t)
	p := &proxied{
		world: newWorldWith(t, map[string]string{"TRUSTED_PROXIES": "127.0.0.0/8", "LOG_LEVEL": "debug"}),
		hosts: newNetwork(t, "hosts"), open: map[*instance]func(){},
	}
	proxy := newNetwork(t, "proxy")
	cable(proxy, p.hosts, proxyAddress+"/24", clientAddress+"/24")
	for _, address := range []string{chatAddress, movedAddress, fmt.Sprintf(gatewayAddress, 1), fmt.Sprintf(gatewayAddress, 2)} {
		p.hosts.run("ip", "address", "add", address+"/24", "dev", "cable")
	}
	p.names = dnstest.New(t, proxy.listenPacket("127.0.0.11:53"))
	p.names.Set("chat-service", chatAddress)
	p.names.Set("ws-server", fmt.Sprintf(gatewayAddress, 1), fmt.Sprintf(gatewayAddress, 2))
	p.attach(p.chat, chatAddress+":8080")
	for i, ws := range p.ws {
		p.attach(ws, fmt.Sprintf(gatewayAddress, i+1)+":8081")
	}
	t.Cleanup(func() {
		for _, i := range p.all() {
			p.detach(i)
		}
	})

	conf := filepath.Join(repository(t), "deploy", "nginx", "nginx.conf")
	p.nginx = proctest.StartPath(t, "/usr/bin/env", []string{"ip", "netns", "exec", proxy.name, program, "-g", "daemon off;", "-c", conf}, nil)
	t.Cleanup(func() { p.nginx.Term(t) }) // a killed nginx leaves its workers behind

	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(forward(front, func() (net.Conn, error) { return p.hosts.dial(proxyAddress + ":8080") }))
	p.url = "http://" + front.Addr().String()
	p.nginx.WaitReady(t, p.url+"/readyz")
	return p
}

// attach lets nginx reach an instance at an address. Without it, connections to the instance are
// refused, as with a container that has stopped.
func (p *proxied) attach(i *instance, address string) {
	p.t.Helper()
	stop := forward(p.hosts.listen(address), func() (net.Conn, error) { return net.Dial("tcp", strings.TrimPrefix(i.base, "http://")) })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[i] = stop
}

func (p *proxied) detach(i *instance) {
	p.mu.Lock()
	stop := p.open[i]
	delete(p.open, i)
	p.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (p *proxied) wsURL() string { return "ws" + strings.TrimPrefix(p.url, "http") + "/ws" }

// nginxProgram returns an nginx that supports the configuration, or skips the test.
func nginxProgram(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the test of the shipped nginx configuration needs root: it creates network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("the test of the shipped nginx configuration needs the program ip (Debian: iproute2)")
	}
	for _, candidate := range []string{filepath.Join(repository(t), ".tools", "nginx", "nginx"), "nginx"} {
		out, err := exec.Command(candidate, "-v").CombinedOutput()
		var major, minor, patch int
		_, scanErr := fmt.Sscanf(string(out), "nginx version: nginx/%d.%d.%d", &major, &minor, &patch)
		if err == nil && scanErr == nil && (major > 1 || major == 1 && (minor > 27 || minor == 27 && patch >= 3)) {
			return candidate
		}
	}
	t.Skip("no nginx 1.27.3 or newer found (tools/nginx installs one on Debian): the shipped configuration is not tested")
	return ""
}

// repository returns the root of the source tree.
func repository(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOWORK").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

// TestProxy tests the nginx configuration from a client's point of view. Its parts run one after
// the other on one deployment.
func TestProxy(t *testing.T) {
	t.Parallel() // it waits for more than a minute
	p := newProxied(t)
	ann := p.signup("ann")
	t.Run("client address", func(t *testing.T) { p.testClientAddress(t) })
	t.Run("errors have the form of the API", func(t *testing.T) { p.testErrors(t, ann) })
	t.Run("a quiet connection stays", func(t *testing.T) { p.testQuiet(t, ann) })
	t.Run("rolling restart of the gateways", func(t *testing.T) { p.testRollingRestart(t, ann) })
	t.Run("a gateway with a new address", func(t *testing.T) { p.testMoved(t, ann) })
	t.Run("stop with open sockets", func(t *testing.T) { p.testStop(t, ann) })
}

// testClientAddress checks that the services see the client's real address, no matter which address
// the client claims to have.
func (p *proxied) testClientAddress(t *testing.T) {
	body, err := json.Marshal(map[string]string{
		"username": "zoe", "email": "zoe@example.test", "password": "correct horse zoe", "session": "bearer",
	})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/v1/signup", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Forwarded-For", "203.0.113.9")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("signup: %s, %v", resp.Status, err)
	}
	var sessions struct{ Items []struct{ Address string } }
	p.call(http.MethodGet, "/v1/sessions", answer.AccessToken, nil, http.StatusOK, &sessions)
	if len(sessions.Items) != 1 || sessions.Items[0].Address != clientAddress {
		t.Errorf("sessions = %+v, want one of %s", sessions.Items, clientAddress)
	}
}

func (p *proxied) testErrors(t *testing.T, ann account) {
	post := func(token string, body []byte) (*http.Response, map[string]any) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/v1/channels", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var problem map[string]any
		if err := json.Unmarshal(text, &problem); err != nil || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %s: %v", resp.Status, resp.Header.Get("Content-Type"), text, err)
		}
		return resp, problem
	}
	if resp, problem := post(ann.Token, make([]byte, 1<<20+1)); resp.StatusCode != 413 || problem["code"] != "too_large" {
		t.Errorf("2 MiB: %s %v, want 413 too_large", resp.Status, problem)
	}
	p.detach(p.chat)
	resp, problem := post(ann.Token, []byte("{}"))
	if resp.StatusCode != 503 || problem["code"] != "unavailable" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("without chat-service: %s %v, want 503 unavailable with Retry-After", resp.Status, problem)
	}
	p.attach(p.chat, chatAddress+":8080")
}

// testQuiet checks that the gateway's heartbeat prevents nginx's timeouts while no other data is
// sent.
func (p *proxied) testQuiet(t *testing.T, ann account) {
	c := wstest.Dial(t, p.wsURL(), ann.Token)
	c.AwaitType(t, "hello")
	select {
	case <-c.Done():
		t.Fatal("the connection ended")
	case <-time.After(65 * time.Second): // nginx closes a connection without data after 60 s
	}
	channel := ann.createChannel("tea", "private")
	c.Await(t, "news after a minute", func(f wstest.Frame) bool { return f.ChannelID == channel })
}

// testRollingRestart restarts both gateways, one after the other, while 40 clients reconnect
// whenever their connections end. Once both gateways are up, no handshake is refused and all
// clients are connected.
func (p *proxied) testRollingRestart(t *testing.T, ann account) {
	const clients = 40
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var connected, refused atomic.Int64
	for range clients {
		wg.Go(func() { p.stayConnected(ctx, t, ann, &connected, &refused) })
	}
	all := func() {
		t.Helper()
		testkit.Until(t, proxyLimit, func() error {
			if n := connected.Load(); n != clients {
				return fmt.Errorf("%d of %d clients are connected, %d handshakes were refused", n, clients, refused.Load())
			}
			return nil
		})
	}
	all()
	for i, ws := range p.ws {
		p.detach(ws)
		ws.proc.Term(t)
		ws.restart()
		p.attach(ws, fmt.Sprintf(gatewayAddress, i+1)+":8081")
	}
	during := refused.Load()
	all()
	for range clients {
		c, err := p.dial(t, ann)
		if err != nil {
			t.Fatalf("a handshake after the restarts: %v", err)
		}
		c.Close()
	}
	if n := refused.Load() - during; n > 0 {
		t.Errorf("%d handshakes were refused although both gateways were up", n)
	}
}

// stayConnected keeps a client connected until ctx ends: whenever the connection ends, it connects
// again.
func (p *proxied) stayConnected(ctx context.Context, t *testing.T, ann account, connected, refused *atomic.Int64) {
	for ctx.Err() == nil {
		c, err := p.dial(t, ann)
		if err != nil {
			refused.Add(1)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond): // a client's delay between attempts
			}
			continue
		}
		connected.Add(1)
		select {
		case <-ctx.Done():
		case <-c.Done():
		}
		connected.Add(-1)
		c.Close()
	}
}

func (p *proxied) dial(t *testing.T, ann account) (*wstest.Conn, error) {
	c, resp, err := wstest.TryDial(t, p.wsURL(), http.Header{"Authorization": {"Bearer " + ann.Token}})
	if err != nil && resp != nil {
		err = fmt.Errorf("%w: %s", err, resp.Status)
	}
	return c, err
}

// testMoved checks that nginx finds a recreated gateway at its new address within seconds.
func (p *proxied) testMoved(t *testing.T, ann account) {
	p.detach(p.ws[0])
	p.detach(p.ws[1])
	p.attach(p.ws[0], movedAddress+":8081")
	p.names.Set("ws-server", movedAddress)
	testkit.Until(t, proxyLimit, func() error {
		c, err := p.dial(t, ann)
		if err == nil {
			c.Close()
		}
		return err
	})
}

// testStop checks that nginx stops even if WebSockets are open, and that their clients' connections
// end.
func (p *proxied) testStop(t *testing.T, ann account) {
	c := wstest.Dial(t, p.wsURL(), ann.Token)
	c.AwaitType(t, "hello")
	began := time.Now()
	p.nginx.Signal(t, syscall.SIGQUIT)
	if code := p.nginx.Wait(t, proxyLimit); code != 0 {
		t.Errorf("nginx exited with %d", code)
	}
	t.Logf("nginx stopped after %v with an open WebSocket", time.Since(began).Round(10*time.Millisecond))
	<-c.Done()
}

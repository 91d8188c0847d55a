package structure_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"parley.chat/internal/devkit/testkit/proctest"
)

// compose is the part of docker-compose.yml that the tests use.
type compose struct {
	Services map[string]service `yaml:"services"`
	Volumes  map[string]any     `yaml:"volumes"`
}

type service struct {
	Build struct {
		Context, Target string
		Args            map[string]string
	}
	Image       string
	Scale       int
	User        string
	ReadOnly    bool              `yaml:"read_only"`
	CapDrop     []string          `yaml:"cap_drop"`
	CapAdd      []string          `yaml:"cap_add"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	Healthcheck struct{ Test []string }
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
}

// The conditions of depends_on.
const (
	healthy   = "service_healthy"
	completed = "service_completed_successfully"
)

func loadCompose(t *testing.T) compose { return loadComposeFile(t, "docker-compose.yml") }

func loadComposeFile(t *testing.T, name string) compose {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	var c compose
	if err := yaml.Unmarshal(source, &c); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return c
}

// TestCompose_redisTLS checks that the additional file for TLS changes only the scheme of every
// REDIS_URL, and that every client checks the certificate.
func TestCompose_redisTLS(t *testing.T) {
	base, tls := loadCompose(t), loadComposeFile(t, "deploy/redis/tls.compose.yml")
	for name, s := range base.Services {
		plain, isClient := s.Environment["REDIS_URL"]
		if !isClient {
			continue
		}
		got := tls.Services[name]
		if want := strings.Replace(plain, "redis://", "rediss://", 1); got.Environment["REDIS_URL"] != want {
			t.Errorf("%s: REDIS_URL is %q with TLS, want %q", name, got.Environment["REDIS_URL"], want)
		}
		if len(got.Volumes) != 1 || !strings.HasSuffix(got.Volumes[0], ":"+got.Environment["SSL_CERT_FILE"]+":ro") {
			t.Errorf("%s: SSL_CERT_FILE %q is none of %q", name, got.Environment["SSL_CERT_FILE"], got.Volumes)
		}
	}
	for name := range tls.Services {
		if _, ok := base.Services[name]; !ok {
			t.Errorf("docker-compose.yml has no service %s", name)
		}
	}
}

// ours returns the names of the services that run one of Parley's programs.
func (c compose) ours() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.Services)), func(name string) bool {
		return c.Services[name].Build.Target == ""
	})
}

// variables returns the settings that a program lists with --help.
func variables(t *testing.T, program string) map[string]bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(proctest.Build(t, program), program), "--help")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s --help: %v\n%s", program, err, out)
	}
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\s+([A-Z][A-Z0-9_]{2,})\b`).FindAllStringSubmatch(string(out), -1) {
		known[m[1]] = true
	}
	if len(known) == 0 {
		t.Fatalf("%s --help lists no variables:\n%s", program, out)
	}
	return known
}

func TestCompose_services(t *testing.T) {
	c := loadCompose(t)
	targets := map[string]int{}
	for name, s := range c.Services {
		targets[s.Build.Target]++
		if want := map[string]int{"ws-server": 2, "sync-service": 2}[name]; s.Scale != want {
			t.Errorf("%s: scale %d, want %d", name, s.Scale, want)
		}
	}
	for target, want := range map[string]int{"chat-service": 1, "ws-server": 1, "sync-service": 1, "migrate": 1} {
		if targets[target] != want {
			t.Errorf("%d services of target %s, want %d", targets[target], target, want)
		}
	}
	dockerfile, err := os.ReadFile(filepath.Join(root(t), "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range c.ours() {
		if target := c.Services[name].Build.Target; !regexp.MustCompile(`(?m)^FROM \S+ AS ` + target + `$`).Match(dockerfile) {
			t.Errorf("%s: the Dockerfile has no target %s", name, target)
		}
	}
}

// TestCompose_build checks that the Dockerfile declares every build argument, because an undeclared
// one has no effect, and that the images record their revision.
func TestCompose_build(t *testing.T) {
	dockerfile, err := os.ReadFile(filepath.Join(root(t), "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	c := loadCompose(t)
	for _, name := range c.ours() {
		args := c.Services[name].Build.Args
		for _, want := range []string{"VERSION", "REVISION", "GOPROXY", "GOSUMDB", "NPM_CONFIG_REGISTRY"} {
			if _, ok := args[want]; !ok {
				t.Errorf("%s is built without the argument %s", name, want)
			}
		}
		for arg := range args {
			if !regexp.MustCompile(`(?m)^ARG ` + arg + `\b`).Match(dockerfile) {
				t.Errorf("%s is built with %s, which the Dockerfile does not declare", name, arg)
			}
		}
	}
	for _, want := range []string{`-X $telemetry.linkedVersion=$VERSION`, `-X $telemetry.linkedRevision=$REVISION`, `org.opencontainers.image.revision="$REVISION"`} {
		if !strings.Contains(string(dockerfile), want) {
			t.Errorf("the Dockerfile lacks %s", want)
		}
	}
	// The linker ignores a variable that does not exist.
	telemetry, err := os.ReadFile(filepath.Join(root(t), "internal", "platform", "telemetry", "metrics.go"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(telemetry), "\nvar linkedVersion, linkedRevision string\n") {
		t.Error("internal/platform/telemetry does not declare the variables that the Dockerfile sets")
	}
}

// TestCompose_variables checks the names of variables, because a program silently ignores a
// misspelled one.
func TestCompose_variables(t *testing.T) {
	c := loadCompose(t)
	for _, name := range c.ours() {
		s := c.Services[name]
		known := variables(t, s.Build.Target)
		for variable, value := range s.Environment {
			if !known[variable] {
				t.Errorf("%s sets %s, which %s --help does not list", name, variable, s.Build.Target)
			}
			if strings.Contains(value, "$") && !regexp.MustCompile(`\$\{[A-Z_]+:-[^}]*\}`).MatchString(value) {
				t.Errorf("%s: %s = %q has no default for local use", name, variable, value)
			}
		}
	}
	// The host name of a container is unique.
	if name := c.Services["sync-service"].Environment["CONSUMER_NAME"]; name != "" {
		t.Errorf("sync-service: CONSUMER_NAME = %q for all instances: they would claim each other's pending entries", name)
	}
}

func TestCompose_order(t *testing.T) {
	c := loadCompose(t)
	for name, s := range c.Services {
		for on, dep := range s.DependsOn {
			other, ok := c.Services[on]
			switch {
			case !ok:
				t.Errorf("%s depends on %s, which does not exist", name, on)
			case dep.Condition == healthy && len(other.Healthcheck.Test) == 0:
				t.Errorf("%s waits for %s to be healthy, which has no health check", name, on)
			case dep.Condition != healthy && dep.Condition != completed:
				t.Errorf("%s depends on %s with condition %q, which does not mean that it is ready", name, on, dep.Condition)
			}
		}
	}
	for _, name := range c.ours() {
		s := c.Services[name]
		if s.Build.Target == "migrate" {
			c.needs(t, name, "postgres", healthy)
			continue
		}
		c.needs(t, name, "migrate", completed)
		c.needs(t, name, "redis", healthy)
		c.needs(t, "nginx", name, healthy)
		if !slices.ContainsFunc(s.Healthcheck.Test, func(arg string) bool { return strings.HasSuffix(arg, "/readyz") }) {
			t.Errorf("%s: the health check %q does not check readiness", name, s.Healthcheck.Test)
		}
	}
}

// TestCompose_metrics checks that the operator's page reads every service on the port on which it
// listens.
func TestCompose_metrics(t *testing.T) {
	c := loadCompose(t)
	targets := strings.Split(c.Services["chat-service"].Environment["METRICS_TARGETS"], ",")
	ports := map[string]string{"chat-service": "8090", "ws-server": "8091", "sync-service": "8082"}
	for _, name := range c.ours() {
		port, serves := ports[c.Services[name].Build.Target]
		want := "http://" + name + ":" + port + "/metrics"
		i := slices.Index(targets, want)
		if serves && i < 0 {
			t.Errorf("METRICS_TARGETS = %q lacks %s", targets, want)
		} else if serves {
			targets = slices.Delete(targets, i, i+1)
		}
	}
	if len(targets) > 0 {
		t.Errorf("METRICS_TARGETS names %q, which is not in docker-compose.yml", targets)
	}
}

func (c compose) needs(t *testing.T, name, on, condition string) {
	t.Helper()
	if got := c.Services[name].DependsOn[on].Condition; got != condition {
		t.Errorf("%s depends on %s with condition %q, want %s", name, on, got, condition)
	}
}

func TestCompose_hardened(t *testing.T) {
	c := loadCompose(t)
	for name, s := range c.Services {
		if !s.ReadOnly {
			t.Errorf("%s: its root is not read-only", name)
		}
		// The entrypoint of postgres starts as root and then drops its privileges.
		if name != "postgres" && (s.User == "" || strings.HasPrefix(s.User, "0") || s.User == "root" || len(s.CapAdd) > 0) {
			t.Errorf("%s: runs as %q with the capabilities %q, want a user other than root, and no capabilities", name, s.User, s.CapAdd)
		}
		if !slices.Contains(s.CapDrop, "ALL") || slices.Contains(s.CapAdd, "ALL") {
			t.Errorf("%s: drops the capabilities %q and adds %q, want ALL dropped", name, s.CapDrop, s.CapAdd)
		}
		if name != "nginx" && len(s.Ports) > 0 {
			t.Errorf("%s publishes %q: only nginx may be reachable from outside", name, s.Ports)
		}
		for _, v := range s.Volumes {
			if volume, _, _ := strings.Cut(v, ":"); !strings.HasPrefix(volume, ".") {
				if _, ok := c.Volumes[volume]; !ok {
					t.Errorf("%s mounts %s, which is not declared", name, volume)
				}
			}
		}
	}
}

// TestCompose_nginx checks that nginx is published on this machine only, because browsers drop
// Secure cookies over plain http from another machine. It also checks that the image is from a
// stable branch of nginx, which gets fixes. Stable branches have even numbers.
func TestCompose_nginx(t *testing.T) {
	nginx := loadCompose(t).Services["nginx"]
	if !regexp.MustCompile(`^nginx:1\.\d*[02468]-alpine$`).MatchString(nginx.Image) {
		t.Errorf("nginx: the image is %s, want one of a stable branch", nginx.Image)
	}
	if want := []string{"${PUBLISH:-127.0.0.1}:8080:8080"}; !slices.Equal(nginx.Ports, want) {
		t.Errorf("nginx publishes %q, want %q", nginx.Ports, want)
	}
}

// TestCompose_durable checks that acknowledged messages are on disk.
func TestCompose_durable(t *testing.T) {
	redis := loadCompose(t).Services["redis"]
	flags := strings.Join(redis.Command, " ")
	for _, want := range []string{"--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"} {
		if !strings.Contains(flags, want) {
			t.Errorf("redis runs %q, want %s", flags, want)
		}
	}
	if len(redis.Volumes) == 0 {
		t.Error("redis has no volume")
	}
}

// TestNginx checks that every service in the nginx configuration exists and listens on the named
// port, and that no gateway is left out.
func TestNginx(t *testing.T) {
	c := loadCompose(t)
	conf, err := os.ReadFile(filepath.Join(root(t), "deploy", "nginx", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	upstream := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s*server ([a-z0-9-]+):(\d+)`).FindAllStringSubmatch(string(conf), -1) {
		upstream[m[1]] = m[2]
	}
	listens := map[string]string{"chat-service": "CHAT_ADDR", "ws-server": "WS_ADDR"}
	for _, name := range c.ours() {
		s := c.Services[name]
		variable, public := listens[s.Build.Target]
		if !public {
			continue
		}
		if want := strings.TrimPrefix(s.Environment[variable], ":"); upstream[name] != want {
			t.Errorf("nginx forwards to %s on port %q, but it listens on %q", name, upstream[name], want)
		}
		delete(upstream, name)
	}
	for name := range upstream {
		t.Errorf("nginx forwards to %s, which is not in docker-compose.yml", name)
	}
	for _, want := range []string{`proxy_set_header Upgrade \$http_upgrade;`, `location ~ \^/ws\(/\|\$\)`, `proxy_pass http://gateways;`} {
		if !regexp.MustCompile(want).Match(conf) {
			t.Errorf("nginx.conf lacks %s", want)
		}
	}
	if regexp.MustCompile(`(?m)^\s*(ip_hash|hash|sticky)\b`).Match(conf) {
		t.Error("nginx.conf configures stickiness, but any gateway can serve any client")
	}
}

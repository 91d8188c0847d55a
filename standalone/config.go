package standalone

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"text/tabwriter"

	chatservice "parley.chat/chat-service"
	"parley.chat/internal/platform/browser"
	"parley.chat/internal/platform/config"
	syncservice "parley.chat/sync-service"
	wsserver "parley.chat/ws-server"
)

// Config holds all settings: this package's settings, and the services' settings under their usual
// names.
type Config struct {
	Addr        string     `env:"ADDR" envDefault:"localhost:8080" desc:"listen address for everything; :8080 makes it reachable from the network"`
	MetricsAddr string     `env:"METRICS_ADDR" envDefault:"127.0.0.1:0" desc:"listen address of /metrics; by default a free loopback port, for the operator's page"`
	DataDir     string     `env:"DATA_DIR" envDefault:"./.data" desc:"folder of the data; created if necessary, never deleted"`
	DatabaseURL string     `env:"DATABASE_URL" desc:"your own PostgreSQL, 15 or newer; empty: start a private one"`
	RedisURL    string     `env:"REDIS_URL" desc:"your own Redis, 7.0 or newer, or several URLs, comma-separated, for a Cluster; empty: start a private one"`
	KeysDir     string     `env:"JWT_KEYS_DIR" desc:"folder of the keys that sign access tokens, created if necessary; empty: keys in DATA_DIR"`
	LogLevel    slog.Level `env:"LOG_LEVEL" envDefault:"warn" desc:"debug, info, warn or error"`

	chat chatservice.Config
	ws   wsserver.Config
	sync syncservice.Config
}

// replaced lists the service settings that do not apply when all services run in one process and on
// one port. This package sets their values directly.
var replaced = []string{"CHAT_ADDR", "WS_ADDR", "SYNC_ADDR", "JWKS_URL", "DATABASE_ROLE", "METRICS_TARGETS", "CHAT_METRICS_ADDR", "WS_METRICS_ADDR"}

// otherDefaults lists the service settings whose defaults differ here. The default address is
// reachable only from this machine, so the first account can be assumed to be the operator's. Every
// message is traced, so that a configured trace collector receives a trace for each message.
var otherDefaults = map[string]string{"OPS_FOR": "first-account", "TRACE_RATIO": "1"}

// LoadConfig reads all settings, including the services' settings. The error names each invalid
// variable.
func LoadConfig(getenv func(string) string) (Config, error) {
	var cfg Config
	services := func(name string) string {
		if slices.Contains(replaced, name) {
			return ""
		}
		return cmp.Or(getenv(name), otherDefaults[name])
	}
	errs := []error{config.Load(&cfg, getenv), config.Load(&cfg.chat, services), config.Load(&cfg.sync, services)}
	var err error
	cfg.ws, err = wsserver.LoadConfig(services)
	if err = distinct(append(errs, err)); err != nil {
		return cfg, err
	}
	if cfg.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return cfg, &config.Error{Name: "DATA_DIR", Err: err}
	}
	if cfg.KeysDir == "" {
		cfg.KeysDir = filepath.Join(cfg.DataDir, "keys")
	}
	if len(cfg.chat.Hosts) == 0 {
		cfg.chat.Hosts = ownHosts(cfg.Addr)
		cfg.ws.PublicHosts = cfg.chat.Hosts
	}
	return cfg, nil
}

// ownHosts returns the host names that are served at addr if PUBLIC_HOSTS is not set. For a
// loopback address, these are the names of this machine. This prevents DNS rebinding, in which a
// foreign page's host name resolves to this machine. For any other address, ownHosts returns nil
// and every host name is served, because the machine's names are unknown.
func ownHosts(addr string) browser.Hosts {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || !browser.Loopback(host) {
		return nil
	}
	hosts := browser.Hosts{"localhost", "127.0.0.1", "::1"}
	if !slices.Contains(hosts, host) {
		hosts = append(hosts, host)
	}
	return hosts
}

// distinct joins errors, including the parts of joined errors, without duplicates. Several services
// may report the same invalid variable.
func distinct(errs []error) error {
	var kept []error
	seen := map[string]bool{}
	var add func(error)
	add = func(err error) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				add(e)
			}
			return
		}
		if err != nil && !seen[err.Error()] {
			seen[err.Error()] = true
			kept = append(kept, err)
		}
	}
	for _, err := range errs {
		add(err)
	}
	return errors.Join(kept...)
}

const intro = `Usage: standalone [talk]

Runs all of Parley in one process on one port: chat-service, ws-server and sync-service, with a private
PostgreSQL and a private Redis, which it finds on this machine or installs with apt-get or brew. Ctrl-C
stops it; the data stays in DATA_DIR.

  standalone           run
  standalone talk      a WebSocket client for the terminal; standalone talk -h explains

Settings are environment variables:

`

// usage writes the help text.
func usage(w io.Writer) {
	fmt.Fprint(w, intro)
	seen := slices.Clone(replaced)
	list := func(cfg any) {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, v := range config.Vars(cfg) {
			if slices.Contains(seen, v.Name) {
				continue
			}
			seen = append(seen, v.Name)
			desc := v.Desc
			if def := cmp.Or(otherDefaults[v.Name], v.Default); def != "" {
				desc += " (default " + def + ")"
			}
			fmt.Fprintf(tw, "  %s\t%s\t%s\n", v.Name, v.Type, desc)
		}
		_ = tw.Flush() // ignore a failed write to the terminal
	}
	list(Config{})
	for _, s := range []struct {
		name string
		cfg  any
	}{{"chat-service", chatservice.Config{}}, {"ws-server", wsserver.Config{}}, {"sync-service", syncservice.Config{}}} {
		fmt.Fprintf(w, "\nSettings of %s:\n\n", s.name)
		list(s.cfg)
	}
}

package config_test

import (
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"parley.chat/internal/platform/config"
)

type common struct {
	Level slog.Level `env:"LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error"`
}

type settings struct {
	common
	Addr    string         `env:"CHAT_ADDR" envDefault:":8080" desc:"listen address"`
	Idle    time.Duration  `env:"CLAIM_IDLE" envDefault:"10s" desc:"silence before entries are claimed"`
	TrimAt  config.Percent `env:"REDIS_TRIM_AT" envDefault:"50%" desc:"trim at"`
	Rate    config.Rate    `env:"RATE_LIMIT" envDefault:"20/10s" desc:"sends"`
	Proxies config.CIDRs   `env:"TRUSTED_PROXIES" desc:"networks"`
	Origins config.List    `env:"PUBLIC_ORIGINS" desc:"origins"`
	Max     int            `env:"MAX_CONNECTIONS_PER_USER" envDefault:"100" desc:"connections"`
	Secure  bool           `env:"SECURE" envDefault:"true" desc:"cookies"`
	Ratio   float64        `env:"RATIO" envDefault:"0.5" desc:"ratio"`
	Redis   struct {
		Addr string `env:"ADDR" envDefault:"r:1" desc:"nested"`
		Port int    `env:"PORT" envDefault:"1" desc:"nested"`
	} `envPrefix:"REDIS_"`
	Key      string `env:"KEY,required" desc:"needed"`
	Untagged int
}

func environment(m map[string]string) func(string) string {
	return func(name string) string { return m[name] }
}

func TestLoad_defaults(t *testing.T) {
	got := settings{Untagged: 7}
	if err := config.Load(&got, environment(map[string]string{"KEY": "k", "CHAT_ADDR": ""})); err != nil {
		t.Fatal(err)
	}
	want := settings{
		common: common{Level: slog.LevelInfo}, Addr: ":8080", Idle: 10 * time.Second, TrimAt: 50,
		Rate: config.Rate{Count: 20, Per: 10 * time.Second}, Max: 100, Secure: true, Ratio: 0.5, Key: "k", Untagged: 7,
	}
	want.Redis.Addr, want.Redis.Port = "r:1", 1
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Load =\n%+v, want\n%+v", got, want)
	}
}

func TestLoad_values(t *testing.T) {
	var got settings
	err := config.Load(&got, environment(map[string]string{
		"KEY": "k", "LOG_LEVEL": "warn", "CHAT_ADDR": "127.0.0.1:0", "CLAIM_IDLE": "1m", "REDIS_TRIM_AT": "12.5%",
		"RATE_LIMIT": "5/1s", "TRUSTED_PROXIES": "10.1.2.3/8, ::1", "PUBLIC_ORIGINS": " https://a , ,https://b",
		"SECURE": "false", "REDIS_ADDR": "x", "REDIS_PORT": "6379",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Level != slog.LevelWarn || got.Idle != time.Minute || got.TrimAt.Of(1000) != 125 ||
		got.Rate.String() != "5/1s" || got.Secure || got.Redis.Addr != "x" || got.Redis.Port != 6379 {
		t.Errorf("Load = %+v", got)
	}
	if s := got.Proxies.String(); s != "10.0.0.0/8,::1/128" {
		t.Errorf("Proxies = %s", s)
	}
	if !got.Proxies.Contains(netip.MustParseAddr("::ffff:10.9.9.9")) || got.Proxies.Contains(netip.MustParseAddr("11.0.0.1")) {
		t.Errorf("Proxies.Contains is wrong for %v", got.Proxies)
	}
	if s := got.Origins.String(); s != "https://a,https://b" {
		t.Errorf("Origins = %s", s)
	}
}

func TestLoad_reportsEveryBadVariable(t *testing.T) {
	bad := map[string]string{
		"LOG_LEVEL": "loud", "CLAIM_IDLE": "10", "REDIS_TRIM_AT": "0.5", "RATE_LIMIT": "20", "TRUSTED_PROXIES": "10.0.0.0/8,home",
		"MAX_CONNECTIONS_PER_USER": "many", "SECURE": "perhaps", "RATIO": "x", "REDIS_PORT": "p",
	}
	var cfg settings
	err := config.Load(&cfg, environment(bad))
	if err == nil {
		t.Fatal("Load = nil, want an error")
	}
	lines := strings.Split(err.Error(), "\n")
	for name := range bad {
		if !strings.Contains("\n"+err.Error(), "\n"+name+": ") {
			t.Errorf("the error does not name %s:\n%v", name, err)
		}
	}
	if len(lines) != len(bad)+1 || lines[len(lines)-1] != "KEY: must be set" {
		t.Errorf("Load = %q, want a line for each of %d variables and KEY", lines, len(bad))
	}
	if e, ok := errors.AsType[*config.Error](err); !ok || e.Name != "LOG_LEVEL" {
		t.Errorf("first error = %v, want LOG_LEVEL's", e)
	}
	if cfg.Addr != ":8080" {
		t.Errorf("Addr = %q: the good fields should be filled", cfg.Addr)
	}
}

func TestTypes_refuse(t *testing.T) {
	for _, in := range []string{"", "50", "101%", "-1%", "NaN%", "x%"} {
		if err := new(config.Percent).UnmarshalText([]byte(in)); err == nil {
			t.Errorf("Percent %q accepted", in)
		}
	}
	for _, in := range []string{"", "0/1s", "-1/1s", "1/0s", "1/10", "a/1s", "/", "1/1s/1s"} {
		if err := new(config.Rate).UnmarshalText([]byte(in)); err == nil {
			t.Errorf("Rate %q accepted", in)
		}
	}
}

func TestLoad_needsPointer(t *testing.T) {
	if err := config.Load(settings{}, environment(nil)); err == nil {
		t.Error("Load of a struct value = nil, want an error")
	}
}

func TestUsage(t *testing.T) {
	var b strings.Builder
	config.Usage(&b, "chat-service", settings{}, &settings{})
	got := b.String()
	for _, want := range []string{"Usage: chat-service", "CHAT_ADDR", "listen address (default :8080)", "percent", "REDIS_PORT", "networks"} {
		if !strings.Contains(got, want) {
			t.Errorf("usage lacks %q:\n%s", want, got)
		}
	}
	if n := strings.Count(got, "CHAT_ADDR"); n != 1 {
		t.Errorf("CHAT_ADDR is listed %d times", n)
	}
}

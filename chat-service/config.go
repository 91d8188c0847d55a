package chatservice

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/platform/browser"
	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/telemetry/tracing"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/account"
)

// Config holds the settings of chat-service. Package config reads them from the environment. The
// zero value is not usable; the struct tags contain the defaults.
type Config struct {
	Addr        string     `env:"CHAT_ADDR" envDefault:":8080" desc:"address to listen on"`
	MetricsAddr string     `env:"CHAT_METRICS_ADDR" envDefault:":8090" desc:"listen address of /metrics, which only operators should reach"`
	LogLevel    slog.Level `env:"LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error"`

	DatabaseURL      string `env:"DATABASE_URL" envDefault:"postgres://localhost:5432/parley" desc:"PostgreSQL"`
	DatabaseRole     string `env:"DATABASE_ROLE" envDefault:"parley_chat" desc:"database role that the service assumes"`
	DatabaseMaxConns int    `env:"DATABASE_MAX_CONNS" envDefault:"20" desc:"maximum number of connections to PostgreSQL"`
	RedisURL         string `env:"REDIS_URL" envDefault:"redis://localhost:6379/0" desc:"Redis; for a Cluster, several URLs separated by commas"`
	Partitions       int    `env:"STREAM_PARTITIONS" envDefault:"16" desc:"number of partitions of the log; must never change in a deployment"`

	KeysDir    string        `env:"JWT_KEYS_DIR" envDefault:".data/jwt" desc:"folder of the keys that sign access tokens; created at the first start and shared by all instances"`
	AccessTTL  time.Duration `env:"ACCESS_TOKEN_TTL" envDefault:"15m" desc:"how long an access token is valid"`
	RefreshTTL time.Duration `env:"REFRESH_TOKEN_TTL" envDefault:"720h" desc:"how long a session lasts without a refresh"`

	Origins      browser.Origins `env:"PUBLIC_ORIGINS" desc:"additional origins whose pages may use the API with cookies"`
	Hosts        browser.Hosts   `env:"PUBLIC_HOSTS" desc:"host names and addresses under which browsers reach the deployment; requests for other hosts get 421; unset: any host"`
	Proxies      config.CIDRs    `env:"TRUSTED_PROXIES" desc:"networks of proxies whose X-Forwarded-For and X-Forwarded-Proto headers are trusted"`
	CookieSecure *bool           `env:"COOKIE_SECURE" desc:"whether cookies set over plain HTTP are Secure; unset: Secure unless the address is loopback"`

	BacklogBudget int64          `env:"BACKLOG_BUDGET" envDefault:"1000000" desc:"number of entries waiting to be stored at which sends are refused"`
	RedisRefuseAt config.Percent `env:"REDIS_REFUSE_AT" envDefault:"85%" desc:"share of Redis's maxmemory at which sends are refused"`
	MaxBodyBytes  int            `env:"MAX_BODY_BYTES" envDefault:"16384" desc:"maximum size of a message body in bytes, at most 16384"`
	RateLimit     config.Rate    `env:"RATE_LIMIT" envDefault:"20/10s" desc:"sends per user, counted over all instances; off: no limit"`
	RateBlock     time.Duration  `env:"RATE_BLOCK" envDefault:"30s" desc:"how long sends are refused after a user exceeds the limit"`

	Limits ratelimit.Rates

	MaxMemberships int    `env:"MAX_MEMBERSHIPS" envDefault:"1000" desc:"maximum number of channels per user; 0: no limit"`
	AddUninvited   string `env:"ADD_WITHOUT_INVITATION" envDefault:"known" desc:"which users can be added to channels and groups without an invitation: known (contacts, and users who share a private channel or group) or anyone"`

	NameReservation time.Duration `env:"USERNAME_RESERVATION" envDefault:"4320h" desc:"how long the username of a deleted account stays reserved; 0: not at all"`

	LoginFailures    config.Rate `env:"LOGIN_FAILURES" envDefault:"10/15m" desc:"wrong passwords per account from one network, known device or session"`
	LoginFailuresAll config.Rate `env:"LOGIN_FAILURES_ALL" envDefault:"100/15m" desc:"wrong passwords per account from all networks together, except known devices and sessions"`
	LoginAttempts    config.Rate `env:"LOGIN_ATTEMPTS" envDefault:"30/1m" desc:"signups and logins per network (IPv4 address or IPv6 /64); a /56 may make 4 times as many, a /48 or IPv4 /24 may make 16 times as many"`

	Argon2MemoryMiB int `env:"ARGON2_MEMORY_MIB" envDefault:"19" desc:"memory per password hash, in MiB"`
	Argon2Time      int `env:"ARGON2_TIME" envDefault:"2" desc:"passes per password hash"`
	Argon2Threads   int `env:"ARGON2_THREADS" envDefault:"1" desc:"threads per password hash"`
	HashConcurrency int `env:"HASH_CONCURRENCY" envDefault:"0" desc:"password hashes computed at the same time; 0: one per CPU"`
	HashQueue       int `env:"HASH_QUEUE" envDefault:"64" desc:"signups and logins that may wait for a password hash; further ones are refused"`

	AvatarFetch    bool        `env:"AVATAR_FETCH" envDefault:"true" desc:"whether to fetch pictures from the URLs that users specify and keep small copies; false: refuse them"`
	OpsFor         string      `env:"OPS_FOR" envDefault:"operators" desc:"who may view the pipeline at /ops: operators, first-account (operators, including the first account that signed up) or everybody (every logged-in user)"`
	MetricsTargets config.List `env:"METRICS_TARGETS" envDefault:"http://localhost:8090/metrics,http://localhost:8091/metrics,http://localhost:8082/metrics" desc:"metrics addresses of all instances of all services, for the pipeline view at /ops"`

	Pictures account.Pictures // if nil, AvatarFetch determines the implementation

	Traces tracing.Config

	RequestTimeout time.Duration `env:"REQUEST_TIMEOUT" envDefault:"10s" desc:"time limit for a request"`
	DrainTimeout   time.Duration `env:"DRAIN_TIMEOUT" envDefault:"25s" desc:"time limit for stopping"`
}

// The values of ADD_WITHOUT_INVITATION.
const (
	addKnown  = "known"
	addAnyone = "anyone"
)

// The values of OPS_FOR.
const (
	opsForOperators = "operators"
	opsForFirst     = "first-account"
	opsForEverybody = "everybody"
)

// check returns an error that lists the environment variables whose values can be parsed but are
// not allowed.
func (c *Config) check() error {
	var errs []error
	positive := func(name string, ok bool) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: must be greater than 0", name))
		}
	}
	positive("DATABASE_MAX_CONNS", c.DatabaseMaxConns > 0)
	positive("STREAM_PARTITIONS", c.Partitions > 0)
	positive("ACCESS_TOKEN_TTL", c.AccessTTL > 0)
	if c.AccessTTL > token.MaxTTL {
		errs = append(errs, fmt.Errorf("ACCESS_TOKEN_TTL: %s exceeds the maximum of %s", c.AccessTTL, token.MaxTTL))
	}
	positive("REFRESH_TOKEN_TTL", c.RefreshTTL > 0)
	positive("LOGIN_FAILURES", c.LoginFailures.Count > 0 && c.LoginFailures.Per > 0)
	positive("LOGIN_FAILURES_ALL", c.LoginFailuresAll.Count > 0 && c.LoginFailuresAll.Per > 0)
	positive("LOGIN_ATTEMPTS", c.LoginAttempts.Count > 0 && c.LoginAttempts.Per > 0)
	positive("REQUEST_TIMEOUT", c.RequestTimeout > 0)
	positive("DRAIN_TIMEOUT", c.DrainTimeout > 0)
	positive("BACKLOG_BUDGET", c.BacklogBudget > 0)
	positive("MAX_BODY_BYTES", c.MaxBodyBytes > 0)
	if c.MaxBodyBytes > chat.MaxBodyBytes {
		errs = append(errs, fmt.Errorf("MAX_BODY_BYTES: %d exceeds the maximum of %d", c.MaxBodyBytes, chat.MaxBodyBytes))
	}
	if !slices.Contains([]string{opsForOperators, opsForFirst, opsForEverybody}, c.OpsFor) {
		errs = append(errs, fmt.Errorf("OPS_FOR: %q is not %s, %s or %s", c.OpsFor, opsForOperators, opsForFirst, opsForEverybody))
	}
	if c.AddUninvited != addKnown && c.AddUninvited != addAnyone {
		errs = append(errs, fmt.Errorf("ADD_WITHOUT_INVITATION: %q is not %s or %s", c.AddUninvited, addKnown, addAnyone))
	}
	if c.NameReservation < 0 {
		errs = append(errs, errors.New("USERNAME_RESERVATION: must not be negative"))
	}
	if c.MaxMemberships < 0 {
		errs = append(errs, errors.New("MAX_MEMBERSHIPS: must not be negative"))
	}
	if c.RateLimit.Count > ratelimit.MaxCount {
		errs = append(errs, fmt.Errorf("RATE_LIMIT: must be at most %d sends", ratelimit.MaxCount))
	}
	return errors.Join(append(errs, c.Traces.Check())...)
}

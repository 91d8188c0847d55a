package chatservice

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"parley.chat/internal/browser"
	"parley.chat/internal/config"
	"parley.chat/internal/ratelimit"
	"parley.chat/internal/telemetry/tracing"
	"parley.chat/internal/token"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/account"
)

// Config is the settings of chat-service, as package config reads them from the environment. Its zero
// value is not usable: the defaults are in the tags.
type Config struct {
	Addr        string     `env:"CHAT_ADDR" envDefault:":8080" desc:"address to listen on"`
	MetricsAddr string     `env:"CHAT_METRICS_ADDR" envDefault:":8090" desc:"listen address of /metrics, which only operators should reach"`
	LogLevel    slog.Level `env:"LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error"`

	DatabaseURL      string `env:"DATABASE_URL" envDefault:"postgres://localhost:5432/parley" desc:"PostgreSQL"`
	DatabaseRole     string `env:"DATABASE_ROLE" envDefault:"parley_chat" desc:"role that the service takes in the database"`
	DatabaseMaxConns int    `env:"DATABASE_MAX_CONNS" envDefault:"20" desc:"most connections to PostgreSQL"`
	RedisURL         string `env:"REDIS_URL" envDefault:"redis://localhost:6379/0" desc:"Redis; several, comma-separated, for a Cluster"`
	Partitions       int    `env:"STREAM_PARTITIONS" envDefault:"16" desc:"partitions of the log; fixed for a deployment"`

	KeysDir    string        `env:"JWT_KEYS_DIR" envDefault:".data/jwt" desc:"folder of the keys that sign access tokens; made at the first start, shared by all instances"`
	AccessTTL  time.Duration `env:"ACCESS_TOKEN_TTL" envDefault:"15m" desc:"how long an access token is good for"`
	RefreshTTL time.Duration `env:"REFRESH_TOKEN_TTL" envDefault:"720h" desc:"how long a session lives without a refresh"`

	Origins      browser.Origins `env:"PUBLIC_ORIGINS" desc:"origins of pages, besides our own, that may call with cookies"`
	Hosts        browser.Hosts   `env:"PUBLIC_HOSTS" desc:"host names and addresses under which browsers reach the deployment; others get 421; unset: any"`
	Proxies      config.CIDRs    `env:"TRUSTED_PROXIES" desc:"networks of proxies whose X-Forwarded-For and -Proto count"`
	CookieSecure *bool           `env:"COOKIE_SECURE" desc:"mark cookies of answers over plain http Secure; unset: unless the address is loopback"`

	BacklogBudget int64          `env:"BACKLOG_BUDGET" envDefault:"1000000" desc:"entries that may wait to be stored before sends are refused"`
	RedisRefuseAt config.Percent `env:"REDIS_REFUSE_AT" envDefault:"85%" desc:"share of Redis' maxmemory at which sends are refused"`
	MaxBodyBytes  int            `env:"MAX_BODY_BYTES" envDefault:"16384" desc:"most bytes of a message's body, up to 16384"`
	RateLimit     config.Rate    `env:"RATE_LIMIT" envDefault:"20/10s" desc:"sends of one user, over all instances; off for no limit"`
	RateBlock     time.Duration  `env:"RATE_BLOCK" envDefault:"30s" desc:"how long the sends of a user over the limit are refused"`

	Limits ratelimit.Rates

	MaxMemberships int    `env:"MAX_MEMBERSHIPS" envDefault:"1000" desc:"channels that one user can be in; 0 for no limit"`
	AddUninvited   string `env:"ADD_WITHOUT_INVITATION" envDefault:"known" desc:"who can be added to channels and groups without being asked: known (contacts, and users with a private channel or group in common), or anyone"`

	NameReservation time.Duration `env:"USERNAME_RESERVATION" envDefault:"4320h" desc:"how long nobody can have the username of a deleted account; 0 for not at all"`

	LoginFailures    config.Rate `env:"LOGIN_FAILURES" envDefault:"10/15m" desc:"wrong passwords for one account from one network, known device or session"`
	LoginFailuresAll config.Rate `env:"LOGIN_FAILURES_ALL" envDefault:"100/15m" desc:"wrong passwords for one account from all networks together, known devices and sessions excepted"`
	LoginAttempts    config.Rate `env:"LOGIN_ATTEMPTS" envDefault:"30/1m" desc:"signups and logins of one network (IPv4 address or IPv6 /64); 4 times as many of one /56, 16 times of one /48 or IPv4 /24"`

	Argon2MemoryMiB int `env:"ARGON2_MEMORY_MIB" envDefault:"19" desc:"memory of a password hash"`
	Argon2Time      int `env:"ARGON2_TIME" envDefault:"2" desc:"passes of a password hash"`
	Argon2Threads   int `env:"ARGON2_THREADS" envDefault:"1" desc:"threads of a password hash"`
	HashConcurrency int `env:"HASH_CONCURRENCY" envDefault:"0" desc:"password hashes computed at once; 0: one per CPU"`
	HashQueue       int `env:"HASH_QUEUE" envDefault:"64" desc:"signups and logins that may wait for a hash; more are refused"`

	AvatarFetch    bool        `env:"AVATAR_FETCH" envDefault:"true" desc:"fetch the pictures that users name and keep small copies; false refuses them"`
	OpsFor         string      `env:"OPS_FOR" envDefault:"operators" desc:"who may look at the pipeline: operators, first-account (operators, of whom the first account to sign up is one), or everybody who is logged in"`
	MetricsTargets config.List `env:"METRICS_TARGETS" envDefault:"http://localhost:8090/metrics,http://localhost:8091/metrics,http://localhost:8082/metrics" desc:"metrics of every instance of every service, for those who look at the pipeline"`

	Pictures account.Pictures // nil: fetched as AvatarFetch says

	Traces tracing.Config

	RequestTimeout time.Duration `env:"REQUEST_TIMEOUT" envDefault:"10s" desc:"longest that a request may take"`
	DrainTimeout   time.Duration `env:"DRAIN_TIMEOUT" envDefault:"25s" desc:"longest that stopping may take"`
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

// check refuses what no reader of one variable alone could.
func (c *Config) check() error {
	var errs []error
	positive := func(name string, ok bool) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: must be above 0", name))
		}
	}
	positive("DATABASE_MAX_CONNS", c.DatabaseMaxConns > 0)
	positive("STREAM_PARTITIONS", c.Partitions > 0)
	positive("ACCESS_TOKEN_TTL", c.AccessTTL > 0)
	if c.AccessTTL > token.MaxTTL {
		errs = append(errs, fmt.Errorf("ACCESS_TOKEN_TTL: %s is above %s", c.AccessTTL, token.MaxTTL))
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
		errs = append(errs, fmt.Errorf("MAX_BODY_BYTES: %d is above %d", c.MaxBodyBytes, chat.MaxBodyBytes))
	}
	if !slices.Contains([]string{opsForOperators, opsForFirst, opsForEverybody}, c.OpsFor) {
		errs = append(errs, fmt.Errorf("OPS_FOR: %q is none of %s, %s and %s", c.OpsFor, opsForOperators, opsForFirst, opsForEverybody))
	}
	if c.AddUninvited != addKnown && c.AddUninvited != addAnyone {
		errs = append(errs, fmt.Errorf("ADD_WITHOUT_INVITATION: %q is neither %s nor %s", c.AddUninvited, addKnown, addAnyone))
	}
	if c.NameReservation < 0 {
		errs = append(errs, errors.New("USERNAME_RESERVATION: must not be below 0"))
	}
	if c.MaxMemberships < 0 {
		errs = append(errs, errors.New("MAX_MEMBERSHIPS: must not be below 0"))
	}
	if c.RateLimit.Count > ratelimit.MaxCount {
		errs = append(errs, fmt.Errorf("RATE_LIMIT: more than %d sends", ratelimit.MaxCount))
	}
	return errors.Join(append(errs, c.Traces.Check())...)
}

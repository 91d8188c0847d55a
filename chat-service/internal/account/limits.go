package account

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/config"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/rediskey"
)

var (
	//go:embed limit.lua
	limitSource string
	limitScript = redis.NewScript(limitSource)
)

// redisPatience bounds what Redis may cost an answer that does without, too.
const redisPatience = time.Second

// Limits slow down those who guess passwords or make accounts in bulk. All instances count together,
// in Redis. When it does not answer, everybody passes, with a warning: a store that is down must not
// lock everybody out, and the hashing is bounded anyway.
type Limits struct {
	rdb        redis.UniversalClient
	perAccount config.Rate
	perAddress config.Rate
	log        *slog.Logger
}

// NewLimits returns limits of failed logins per account, and of signups and logins per address.
func NewLimits(rdb redis.UniversalClient, failures, attempts config.Rate, log *slog.Logger) *Limits {
	return &Limits{rdb: rdb, perAccount: failures, perAddress: attempts, log: log}
}

// address counts a signup or login from an address.
func (l *Limits) address(ctx context.Context, address string) error {
	if address == "" {
		return nil // a Unix socket: whoever stands before it knows who asks
	}
	return l.take(ctx, rediskey.LimitAddress(network(address)), l.perAddress, "too many signups and logins from this address")
}

// account counts a login as failed before its password is looked at, so that many at once cannot
// outrun the count. forgive takes it back.
func (l *Limits) account(ctx context.Context, account string) error {
	return l.take(ctx, accountKey(account), l.perAccount, "too many failed logins, try again later")
}

// forgive forgets the failures of an account: its owner has come.
func (l *Limits) forgive(ctx context.Context, account string) {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	if err := l.rdb.Del(ctx, accountKey(account)).Err(); err != nil {
		l.log.WarnContext(ctx, "failed logins not forgiven", "err", err)
	}
}

func (l *Limits) take(ctx context.Context, key string, rate config.Rate, message string) error {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	answer, err := limitScript.Run(ctx, l.rdb, []string{key}, rate.Count, rate.Per.Milliseconds()).Int64Slice()
	if err != nil || len(answer) != 2 {
		l.log.WarnContext(ctx, "login limits are off: Redis does not answer", "err", err)
		return nil
	}
	if answer[0] == 1 {
		return nil
	}
	return &apierr.Error{Code: apierr.RateLimited, Message: message, RetryAfter: time.Duration(answer[1]) * time.Millisecond}
}

func accountKey(account string) string { return rediskey.LimitAccount(account) }

// nobody names the count of a login that no account has: it is limited like any other.
func nobody(name string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(name)))
	return "?" + hex.EncodeToString(sum[:16])
}

// network is what counts as one address: of IPv6 the /64, which is what one customer gets.
func network(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Is4() {
		return address
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return address
	}
	return fmt.Sprint(prefix)
}

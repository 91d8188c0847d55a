package account

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/platform/config"
	"parley.chat/shared-contracts/apierr"
)

// notifyTimeout limits the time that a request waits for Redis when its response does not depend on
// Redis.
const notifyTimeout = time.Second

// Limits counts signups, logins and wrong passwords. A *ratelimit.Limiter with Rates implements it.
type Limits interface {
	Take(ctx context.Context, uses ...ratelimit.Use) ([]ratelimit.State, error)
	Return(ctx context.Context, uses ...ratelimit.Use)
	Forget(ctx context.Context, uses ...ratelimit.Use)
}

// The limit for a wider block of addresses is the limit for one network multiplied by one of these
// factors, because a wider block can contain more households.
const (
	siteFactor  = 4
	blockFactor = 16
)

// Rates returns the rates that the Limits of a Service must enforce. failures limits the wrong
// passwords for one account from one device, session or network. allFailures limits the wrong
// passwords for one account from all networks together. attempts limits the signups and logins from
// one network.
func Rates(failures, allFailures, attempts config.Rate) ratelimit.OwnRates {
	times := func(n int) config.Rate { return config.Rate{Count: n * attempts.Count, Per: attempts.Per} }
	return ratelimit.OwnRates{
		ratelimit.Attempt: attempts, ratelimit.AttemptSite: times(siteFactor), ratelimit.AttemptBlock: times(blockFactor),
		ratelimit.Guess: failures, ratelimit.GuessAll: allFailures,
	}
}

// attempts returns the limits that a signup or login from an address counts against. The limit of
// the narrowest address block comes first.
func attempts(addr netip.Addr) []ratelimit.Use {
	var uses []ratelimit.Use
	for _, network := range ratelimit.Networks(addr) {
		kind := ratelimit.Attempt
		switch network.Bits() {
		case 56:
			kind = ratelimit.AttemptSite
		case 48, 24:
			kind = ratelimit.AttemptBlock
		}
		uses = append(uses, ratelimit.Use{Kind: kind, Subject: network.String()})
	}
	return uses
}

// countAttempt counts a signup or login from an address. A request over a Unix socket has no
// address and is not counted; the proxy in front of the socket has to limit its clients.
func (s *Service) countAttempt(ctx context.Context, addr netip.Addr) error {
	return s.takeInTurn(ctx, attempts(addr), "Too many signups and logins from this address. Please try again later.")
}

// takeInTurn counts a request against the limits one after the other, until a limit is exceeded. It
// then undoes the counts against the earlier limits. A request that is refused by a narrow limit
// therefore does not use up the wider limits.
func (s *Service) takeInTurn(ctx context.Context, uses []ratelimit.Use, message string) error {
	for i, use := range uses {
		_, err := s.cfg.Limits.Take(ctx, use)
		if err == nil {
			continue
		}
		s.cfg.Limits.Return(ctx, uses[:i]...)
		if e := apierr.Of(err); apierr.CodeOf(err) == apierr.RateLimited {
			return &apierr.Error{Code: e.Code, Message: message, RetryAfter: e.RetryAfter, Err: err}
		}
		return err
	}
	return nil
}

// guess holds the limits that an attempted password counts against. Every password is counted as
// wrong before it is checked, so that many concurrent attempts cannot exceed a limit.
type guess struct {
	own ratelimit.Use   // limit for this device, session or network
	all []ratelimit.Use // limit for all networks together, or none
}

// countGuess counts a password as wrong before it is checked.
func (s *Service) countGuess(ctx context.Context, g guess) error {
	return s.takeInTurn(ctx, append([]ratelimit.Use{g.own}, g.all...), "Too many wrong passwords. Please try again later.")
}

// forgive undoes the count for a password that turned out to be right, and resets the count of
// earlier wrong passwords from the same device, session or network.
func (s *Service) forgive(ctx context.Context, g guess) {
	s.cfg.Limits.Forget(ctx, g.own)
	s.cfg.Limits.Return(ctx, g.all...)
}

// guessAtLogin returns the limits that apply to a login attempt for u with the given login name. u
// may be nil.
//
// A device that u has logged in from before has its own limit, which nobody else can use up. For
// other devices the limits belong to the login name, not to the account. If the username and the
// email address of an account shared a limit, an attacker could use up the limit with one of them.
// The response to a login with the other one would then reveal that both belong to the same
// account.
func guessAtLogin(u *user, known bool, name string, d device) guess {
	if u != nil && known {
		return guess{own: ratelimit.Use{Kind: ratelimit.Guess, Subject: "device:" + u.ID.String() + ":" + hex.EncodeToString(d.proof)}}
	}
	subject := loginSubject(u, name)
	return guess{
		own: ratelimit.Use{Kind: ratelimit.Guess, Subject: subject + ":" + ratelimit.NetworkOf(d.address)},
		all: []ratelimit.Use{{Kind: ratelimit.GuessAll, Subject: subject}},
	}
}

// loginSubject returns the subject of the rate limit for a login name. Capitalization makes no
// difference. Names that do not exist are limited like any other name.
func loginSubject(u *user, name string) string {
	switch {
	case u == nil:
		sum := sha256.Sum256([]byte(strings.ToLower(name)))
		return "nobody:" + hex.EncodeToString(sum[:16])
	case isEmail(name):
		return "email:" + u.ID.String()
	}
	return "username:" + u.ID.String()
}

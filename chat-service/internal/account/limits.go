package account

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	"parley.chat/internal/config"
	"parley.chat/internal/ratelimit"
	"parley.chat/shared-contracts/apierr"
)

// notifyTimeout bounds what Redis may cost an answer that does not need it.
const notifyTimeout = time.Second

// Limits counts signups, logins and wrong passwords. It is a *ratelimit.Limiter with Rates.
type Limits interface {
	Take(ctx context.Context, uses ...ratelimit.Use) ([]ratelimit.State, error)
	Return(ctx context.Context, uses ...ratelimit.Use)
	Forget(ctx context.Context, uses ...ratelimit.Use)
}

// The wider a block of addresses, the more households it may be: it gets this many times the attempts of
// one network.
const (
	siteFactor  = 4
	blockFactor = 16
)

// Rates returns the limits that a Service needs of its Limits. failures is the limit of wrong passwords for
// one account from one place, allFailures that from everywhere, attempts that of signups and logins from one
// network.
func Rates(failures, allFailures, attempts config.Rate) ratelimit.OwnRates {
	times := func(n int) config.Rate { return config.Rate{Count: n * attempts.Count, Per: attempts.Per} }
	return ratelimit.OwnRates{
		ratelimit.Attempt: attempts, ratelimit.AttemptSite: times(siteFactor), ratelimit.AttemptBlock: times(blockFactor),
		ratelimit.Guess: failures, ratelimit.GuessAll: allFailures,
	}
}

// attempts are the limits that a signup or login from an address counts against, the narrowest first.
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

// countAttempt counts a signup or login from an address. One from a Unix socket is not counted: the proxy
// on the other side knows who asks.
func (s *Service) countAttempt(ctx context.Context, addr netip.Addr) error {
	return s.takeInTurn(ctx, attempts(addr), "too many signups and logins from this address")
}

// takeInTurn takes a token for each use until one is refused, so that what a narrow limit refuses does not
// use up the wider ones.
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

// guess is a password that has been counted as wrong before it is checked, so that many at the same time
// cannot outrun the count.
type guess struct {
	own ratelimit.Use   // the limit of this place
	all []ratelimit.Use // the limit of all places, or none
}

// countGuess counts a password as wrong.
func (s *Service) countGuess(ctx context.Context, g guess) error {
	return s.takeInTurn(ctx, append([]ratelimit.Use{g.own}, g.all...), "too many wrong passwords, try again later")
}

// forgive takes a guess back, since the password was right, and forgets the earlier ones from the same place.
func (s *Service) forgive(ctx context.Context, g guess) {
	s.cfg.Limits.Forget(ctx, g.own)
	s.cfg.Limits.Return(ctx, g.all...)
}

// guessAtLogin returns the limits of a password for u, who may be nil, under a login name.
//
// A device that u has logged in from before has a limit of its own, so nobody else can use it up. From
// elsewhere the limits belong to the name, not to the account: if the username and the email address of an
// account shared a limit, wrong passwords for one would tell by the other's answer that they belong together.
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

// loginSubject names the limits of a login name, however it is written. A name that nobody has is limited
// like any other.
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

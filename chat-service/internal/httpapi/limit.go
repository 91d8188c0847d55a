package httpapi

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"parley.chat/internal/eventlog/ratelimit"
)

// The header fields of draft-ietf-httpapi-ratelimit-headers.
const (
	headerLimitPolicy = "RateLimit-Policy"
	headerLimit       = "RateLimit"
)

// Limits enforces the rate limits on writes. *ratelimit.Limiter implements it.
type Limits interface {
	Take(ctx context.Context, uses ...ratelimit.Use) ([]ratelimit.State, error)
}

// count counts a write against the limit for its kind and against the limit for the client's
// network. It does not count messages: package sender counts them, so that a retry does not count
// again.
func (a *API) count(c echo.Context, kind ratelimit.Kind) error {
	if a.cfg.Limits == nil || kind == "" || kind == ratelimit.Message {
		return nil
	}
	var uses []ratelimit.Use
	if user, ok := userOf(c); ok && kind != ratelimit.Network {
		uses = append(uses, ratelimit.By(kind, user.UserID))
	}
	if from, ok := ratelimit.From(a.Client(c).Addr); ok && kind != ratelimit.Cursor {
		uses = append(uses, from)
	}
	states, err := a.cfg.Limits.Take(c.Request().Context(), uses...)
	showLimits(c, states)
	return err
}

// ShowLimits writes the rate limits and the remaining number of requests to the response headers.
// ctx must be a handler's context. A state whose rate is zero means that there is no limit, and is
// skipped.
func ShowLimits(ctx context.Context, states ...ratelimit.State) { showLimits(Exchange(ctx), states) }

func showLimits(c echo.Context, states []ratelimit.State) {
	var policies, left []string
	for _, s := range states {
		if s.Rate.Count == 0 {
			continue
		}
		policies = append(policies, fmt.Sprintf("%q;q=%d;w=%d", s.Kind, s.Rate.Count, seconds(s.Rate.Per)))
		left = append(left, fmt.Sprintf("%q;r=%d;t=%d", s.Kind, s.Left, seconds(s.Reset)))
	}
	if len(policies) == 0 {
		return
	}
	h := c.Response().Header()
	h.Set(headerLimitPolicy, strings.Join(policies, ", "))
	h.Set(headerLimit, strings.Join(left, ", "))
}

// seconds returns d in whole seconds, rounded up.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

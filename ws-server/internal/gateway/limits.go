package gateway

import (
	"math"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"parley.chat/internal/platform/config"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/ws-server/internal/connection"
)

// Bounds limits the resources that the instance, one user, one address and one connection may use.
// A zero field means no limit.
type Bounds struct {
	Connections           int // per instance
	ConnectionsPerUser    int
	ConnectionsPerAddress int
	Subscriptions         int         // per connection
	Frames                config.Rate // rate limit for each connection's frames; a burst may contain up to twice Count frames
	TrustedProxies        config.CIDRs
}

// errInstanceFull returns the error for an upgrade that is refused because the instance has reached
// its connection limit.
func errInstanceFull() error {
	return &apierr.Error{Code: apierr.Unavailable, Message: "This server has reached its connection limit. Please try again.", RetryAfter: refusedRetryDelay}
}

// rejectWhenFull refuses upgrades while the instance is full, before spending any time verifying a
// token.
func (g *Gateway) rejectWhenFull(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		full := g.fullLocked()
		g.mu.Unlock()
		if full {
			g.cfg.Metrics.refused.WithLabelValues("instance").Inc()
			writeProblem(w, errInstanceFull())
			return
		}
		serve(w, r)
	}
}

func (g *Gateway) fullLocked() bool {
	limit := g.cfg.Bounds.Connections
	return limit > 0 && g.admitted >= limit
}

// reserveConnection counts a connection toward the limits of the instance and of its address. It
// returns an error if either limit has been reached.
func (g *Gateway) reserveConnection(c *client, r *http.Request) error {
	var addr netip.Addr // the client's address; not valid if there is no limit per address or the request came over a Unix socket
	if g.cfg.Bounds.ConnectionsPerAddress > 0 {
		addr = clientAddress(r, g.cfg.Bounds.TrustedProxies)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fullLocked() {
		g.cfg.Metrics.refused.WithLabelValues("instance").Inc()
		return errInstanceFull()
	}
	if addr.IsValid() {
		if g.byAddr[addr] >= g.cfg.Bounds.ConnectionsPerAddress {
			g.cfg.Metrics.refused.WithLabelValues("address").Inc()
			return &apierr.Error{Code: apierr.TooManyConnections, Message: "Too many connections from this address. Please try again later.", RetryAfter: refusedRetryDelay}
		}
		g.byAddr[addr]++
	}
	g.admitted++
	c.counted, c.addr = true, addr
	return nil
}

// releaseConnection undoes reserveConnection.
func (g *Gateway) releaseConnection(c *client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.releaseConnectionLocked(c)
}

func (g *Gateway) releaseConnectionLocked(c *client) {
	if c.counted {
		g.admitted--
		c.counted = false
	}
	if !c.addr.IsValid() {
		return
	}
	if g.byAddr[c.addr]--; g.byAddr[c.addr] == 0 {
		delete(g.byAddr, c.addr)
	}
	c.addr = netip.Addr{}
}

// clientAddress returns the address that a request comes from. It follows X-Forwarded-For from
// right to left while the addresses are trusted proxies, and returns the first address that is not
// a trusted proxy. The client may have forged the addresses to the left of it. For IPv6 it returns
// the address of the /64 network, the smallest network that providers assign to a customer.
func clientAddress(r *http.Request, trusted config.CIDRs) netip.Addr {
	addr := parseAddress(r.RemoteAddr)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && addr.IsValid() && trusted.Contains(addr); i-- {
		hop := parseAddress(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			break
		}
		addr = hop
	}
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// parseAddress parses an address with or without a port. It returns an invalid address if s is not
// an address.
func parseAddress(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// errTooManySubscriptions returns the error for a subscription that would exceed the limit.
func (c *client) errTooManySubscriptions() error {
	return apierr.New(apierr.RateLimited, "A connection may have at most %d subscriptions. Unsubscribe from a channel or open another connection.",
		c.g.cfg.Bounds.Subscriptions)
}

// subscriptionsLeft returns the number of further subscriptions that the connection may have.
func (c *client) subscriptionsLeft() int {
	limit := c.g.cfg.Bounds.Subscriptions
	if limit == 0 {
		return math.MaxInt
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return limit - c.subs.Len()
}

// controlRate limits the control frames (pings and pongs) of a connection; a burst may contain
// twice Count frames. Clients answer a ping every 25 s and rarely send pings of their own more
// often than once a second.
var controlRate = config.Rate{Count: 20, Per: 10 * time.Second}

// allowControlFrame counts a control frame and closes a connection that sends too many. Control
// frames cost as much as other frames, and a client can send them without waiting for answers.
// allowControlFrame reports whether the frame may be answered.
func (c *client) allowControlFrame() bool {
	if c.out.Closing() {
		return false
	}
	if c.controlBucket.take(controlRate, time.Now(), 1) == 0 {
		return true
	}
	c.g.cfg.Metrics.floods.Inc()
	c.out.Close(connection.ClosePolicy, closeReason("Too many control frames."))
	return false
}

// chargeSubscriptions charges the connection for a subscribe frame with n channels. Each channel
// beyond the first counts as one more frame, because it costs about as much. The charge delays the
// next frames, not this one. A connection with ?subscribe=none gets a one-time free allowance: the
// number of channels to which hello subscribes other connections.
func (c *client) chargeSubscriptions(n int) {
	rate := c.g.cfg.Bounds.Frames
	if rate.Count == 0 {
		return
	}
	free := min(n, c.freeSubscriptions)
	c.freeSubscriptions -= free
	if n -= max(free, 1); n > 0 {
		c.frameBucket.take(rate, time.Now(), float64(n))
	}
}

// tokenBucket limits the rate of frames on one connection. Only the reader goroutine uses it.
type tokenBucket struct {
	tokens  float64
	updated time.Time
}

// take removes n tokens and returns the time until the bucket is no longer in debt. It returns 0 if
// there were enough tokens.
func (b *tokenBucket) take(rate config.Rate, now time.Time, n float64) time.Duration {
	burst, perSecond := float64(2*rate.Count), float64(rate.Count)/rate.Per.Seconds()
	if b.updated.IsZero() {
		b.tokens = burst
	} else {
		b.tokens = min(burst, b.tokens+now.Sub(b.updated).Seconds()*perSecond)
	}
	b.updated = now
	b.tokens -= n
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(-b.tokens / perSecond * float64(time.Second))
}

// pace makes the reader wait if the client sends too fast. The client's next frames wait in the
// socket buffer, so no frame is lost.
func (c *client) pace() {
	rate := c.g.cfg.Bounds.Frames
	if rate.Count == 0 {
		return
	}
	wait := c.frameBucket.take(rate, time.Now(), 1)
	if wait == 0 {
		return
	}
	c.g.cfg.Metrics.paced.Inc()
	const slice = 250 * time.Millisecond // interval between checks for a closed connection
	for ; wait > 0 && !c.out.Closing(); wait -= slice {
		select {
		case <-time.After(min(wait, slice)):
		case <-c.g.ctx.Done():
			return
		}
		c.out.Touch(time.Now()) // do not count the client as silent while its frames are not being read
	}
}

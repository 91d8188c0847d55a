package gateway

import (
	"math"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"parley.chat/internal/config"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/ws-server/internal/connection"
)

// Bounds says how much of this instance one user, one address and one connection may have. A zero field
// means no bound.
type Bounds struct {
	Connections           int // of the instance
	ConnectionsPerUser    int
	ConnectionsPerAddress int
	Subscriptions         int         // of one connection
	Frames                config.Rate // of one connection; twice the Count at once after a pause
	TrustedProxies        config.CIDRs
}

// errInstanceFull refuses an upgrade because the instance has all the connections that it can hold.
func errInstanceFull() error {
	return &apierr.Error{Code: apierr.Unavailable, Message: "this server has as many connections as it can hold", RetryAfter: refusedRetryDelay}
}

// rejectWhenFull refuses upgrades while the instance is full, before they cost a token's verification.
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

// reserveConnection counts a connection for the instance and for its address. It returns why there are too many.
func (g *Gateway) reserveConnection(c *client, r *http.Request) error {
	var addr netip.Addr // not valid if addresses are not counted, or for a Unix socket
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
			return &apierr.Error{Code: apierr.TooManyConnections, Message: "too many connections from this address", RetryAfter: refusedRetryDelay}
		}
		g.byAddr[addr]++
	}
	g.admitted++
	c.counted, c.addr = true, addr
	return nil
}

// releaseConnection undoes enter.
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

// clientAddress returns the address that a request comes from: what trusted proxies say, back to the first
// address that is none of them, since what stands before that was written by the client. An IPv6 address
// is that of its /64, the least that one customer gets.
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

// parseAddress reads an address with or without a port; its result is not valid if it is neither.
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

// errTooManySubscriptions answers a subscribe beyond the bound.
func (c *client) errTooManySubscriptions() error {
	return apierr.New(apierr.RateLimited, "a connection takes %d subscriptions: end another first, or open another connection",
		c.g.cfg.Bounds.Subscriptions)
}

// subscriptionsLeft returns how many more subscriptions the connection may have.
func (c *client) subscriptionsLeft() int {
	limit := c.g.cfg.Bounds.Subscriptions
	if limit == 0 {
		return math.MaxInt
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return limit - c.subs.Len()
}

// controlRate is how many control frames (pings, pongs) a connection may send, and twice the Count at once.
// Clients answer a ping every 25 s, and few send a ping of their own more often than once a second.
var controlRate = config.Rate{Count: 20, Per: 10 * time.Second}

// allowControlFrame counts a control frame, and ends a connection that sends too many: they cost as much as other
// frames, and nobody has to wait for an answer before sending the next one. It reports whether the frame
// may be answered.
func (c *client) allowControlFrame() bool {
	if c.out.Closing() {
		return false
	}
	if c.controlBucket.take(controlRate, time.Now(), 1) == 0 {
		return true
	}
	c.g.cfg.Metrics.floods.Inc()
	c.out.Close(connection.ClosePolicy, closeReason("too many control frames"))
	return false
}

// chargeSubscriptions charges the connection for a subscribe frame with n channels: each beyond the first
// counts as a frame of its own, since each costs about as much. What follows waits, the frame itself does not.
// A connection that subscribes for itself (?subscribe=none) has as many channels free, once, as any other
// connection gets with its hello.
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

// tokenBucket is how many frames a connection may send now. It is the reader's own.
type tokenBucket struct {
	tokens  float64
	updated time.Time
}

// take takes n tokens, which the next frames pay for if there are fewer, and returns how long it is until
// there were as many.
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

// pace lets the reader wait where the client sends too fast: what it has sent waits in its socket, and
// nothing is lost.
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
	const slice = 250 * time.Millisecond // a connection that has ended does not wait on
	for ; wait > 0 && !c.out.Closing(); wait -= slice {
		select {
		case <-time.After(min(wait, slice)):
		case <-c.g.ctx.Done():
			return
		}
		c.out.Touch(time.Now()) // it is not silent, we do not listen
	}
}

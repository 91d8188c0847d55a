package gateway

import (
	"context"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/frame"
)

// silenceTimeout is how long a client may send nothing, not even pongs, before its connection is
// dropped.
const silenceTimeout = 60 * time.Second

// heartbeat pings every connection once per frame.Heartbeat. It also drops connections that have
// been silent for too long and closes those whose token has expired. One goroutine handles all
// connections and spreads the pings over the interval, so that a connection needs no timer.
func (g *Gateway) heartbeat(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	slots := uint32(frame.Heartbeat / time.Second)
	for n := uint32(0); ; n++ {
		var now time.Time
		select {
		case <-ctx.Done():
			return
		case now = <-tick.C:
		}
		for _, c := range g.all() {
			switch {
			case now.Sub(c.out.SilentSince()) > silenceTimeout:
				c.out.Abort()
			case c.tokenExpired(now):
				c.out.Close(apierr.TokenExpired.CloseCode(), closeReason("The access token has expired. Refresh the session."))
			case c.slot%slots == n%slots:
				c.out.Ping()
			}
		}
	}
}

func (g *Gateway) all() []*client {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*client, 0, len(g.clients))
	for c := range g.clients {
		all = append(all, c)
	}
	return all
}

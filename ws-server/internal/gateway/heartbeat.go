package gateway

import (
	"context"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/frame"
)

// silenceTimeout is how long a client may say nothing, pongs included, before its connection is dropped.
const silenceTimeout = 60 * time.Second

// heartbeat pings every connection once in frame.Heartbeat, drops those that have fallen silent, and
// ends those whose token has run out. One goroutine does it for all, spread over the interval, so that
// a connection needs no timer of its own.
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
				c.out.Close(apierr.TokenExpired.CloseCode(), closeReason("the token has expired: refresh it and reconnect"))
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

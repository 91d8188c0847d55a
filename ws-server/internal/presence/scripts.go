package presence

import (
	"context"
	_ "embed"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/platform/redisscript"
)

var (
	//go:embed lease.lua
	leaseSource string
	//go:embed count.lua
	countSource string
	//go:embed change.lua
	changeSource string
	//go:embed online.lua
	onlineSource string
	//go:embed publish.lua
	publishSource string

	leaseScript   = redis.NewScript(leaseSource)
	changeScript  = redis.NewScript(countSource + changeSource)
	onlineScript  = redis.NewScript(countSource + onlineSource)
	publishScript = redis.NewScript(publishSource)
)

// maxCallsPerTrip limits the number of script calls in one round trip.
const maxCallsPerTrip = 128

// run makes the calls in one round trip. If the server does not have a script, run loads it and
// repeats the call. Each call has its own reply; run returns the first error. Once started, the
// calls finish even if ctx is canceled.
func (p *Presence) run(ctx context.Context, calls []*redisscript.Call) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisTimeout)
	defer cancel()
	return redisscript.Run(ctx, p.cfg.Redis, calls)
}

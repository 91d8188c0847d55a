package scenario

import (
	"context"
	"errors"
	"io"
	"time"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/loadtest/internal/stage"
)

// K6 runs a script of k6 against all of Parley, for teams whose other tests are k6's. What it measures k6
// prints.
type K6 struct {
	Program  string        `required:"" help:"The k6 program; make k6 builds it."`
	Script   string        `arg:"" type:"existingfile" help:"The script, such as loadtest/k6/company.js."`
	Channels int           `default:"10" help:"How many channels."`
	Members  int           `default:"20" help:"Members of each. Every one is a user of k6's."`
	Duration time.Duration `default:"20s" help:"How long it runs."`
}

// Run runs it. An error may be a threshold that was crossed.
func (s *K6) Run(ctx context.Context, st *stage.Stage, out io.Writer) (err error) {
	defer func() { err = errors.Join(err, st.Clear(), st.Forget(context.WithoutCancel(ctx))) }()
	if err := st.StartRedis(ctx, localserver.FsyncEverySec); err != nil {
		return err
	}
	people, err := st.Populate(ctx, s.Channels, s.Members)
	if err != nil {
		return err
	}
	gateway, err := st.GatewayAsShipped(ctx)
	if err != nil {
		return err
	}
	if _, err := st.SyncService(ctx); err != nil {
		return err
	}
	return st.K6(ctx, s.Program, s.Script, gateway, people, s.Duration, out)
}

package scenario

import (
	"context"
	"errors"
	"io"
	"time"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/loadtest/internal/stage"
)

// K6 runs a k6 script against a complete Parley deployment. It is meant for teams that already use
// k6. k6 prints the results itself.
type K6 struct {
	Program  string        `required:"" help:"Path of the k6 program; make k6 builds it."`
	Script   string        `arg:"" type:"existingfile" help:"Path of the script, such as loadtest/k6/company.js."`
	Channels int           `default:"10" help:"Number of channels."`
	Members  int           `default:"20" help:"Members of each channel. Each is a virtual user of k6."`
	Duration time.Duration `default:"20s" help:"Duration of the run."`
}

// Run runs the script. It also returns an error if the run crosses one of the script's thresholds.
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

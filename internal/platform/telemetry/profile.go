package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/pprof"
)

// ProfileHandler serves the profiles of the process under /debug/pprof/, as go tool pprof reads them.
// Whoever can ask for them can slow the process down and sees what it was started with: it belongs on an
// address that only operators reach.
func ProfileHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// ServeProfiles serves ProfileHandler on addr until ctx ends. It is a part for lifecycle.Run. Without an
// addr it serves nothing.
func ServeProfiles(ctx context.Context, addr string, log *slog.Logger) error {
	if addr == "" {
		<-ctx.Done()
		return nil
	}
	return Serve(ctx, addr, ProfileHandler(), log)
}

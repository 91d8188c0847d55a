package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/pprof"
)

// ProfileHandler serves the process's profiles under /debug/pprof/, for go tool pprof. Clients with
// access to it can slow down the process and read its command line, so serve it only on an address
// for operators.
func ProfileHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// ServeProfiles serves ProfileHandler on addr until ctx is done. It is meant to be run by
// lifecycle.Run. If addr is empty, it serves nothing.
func ServeProfiles(ctx context.Context, addr string, log *slog.Logger) error {
	if addr == "" {
		<-ctx.Done()
		return nil
	}
	return Serve(ctx, addr, ProfileHandler(), log)
}

package telemetry

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewRegistry returns a registry with metrics for the Go runtime, the process and the service's
// build. It registers nothing globally.
func NewRegistry(service string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	version, revision := build()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "parley_build_info", Help: "Always 1; the labels identify the running build.",
		ConstLabels: prometheus.Labels{"service": service, "version": version, "revision": revision, "go_version": runtime.Version()},
	})
	info.Set(1)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
	return reg
}

// linkedVersion and linkedRevision are set by the linker (-X) in builds without a git checkout,
// such as image builds.
var linkedVersion, linkedRevision string

// build returns the version and revision that the linker set. If they are unset, it returns the
// values that the go command recorded.
func build() (version, revision string) {
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return cmp.Or(linkedVersion, version, "unknown"), cmp.Or(linkedRevision, revision, "unknown")
}

// ServeMetrics serves only /metrics on addr. Metrics have a separate address because they are for
// operators.
func ServeMetrics(ctx context.Context, addr string, reg *prometheus.Registry, log *slog.Logger) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", MetricsHandler(reg))
	return Serve(ctx, addr, mux, log)
}

// MetricsHandler serves the metrics of reg.
func MetricsHandler(reg *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg})
}

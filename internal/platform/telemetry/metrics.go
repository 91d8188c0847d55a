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

// NewRegistry returns a registry with the metrics of the Go runtime and of the process, and one that
// tells which build of the service runs. Nothing is registered globally.
func NewRegistry(service string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	version, revision := build()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "parley_build_info", Help: "1; the labels tell which build runs.",
		ConstLabels: prometheus.Labels{"service": service, "version": version, "revision": revision, "go_version": runtime.Version()},
	})
	info.Set(1)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
	return reg
}

// linkedVersion and linkedRevision are set by the linker (-X) where the source is built without its git checkout,
// as in an image.
var linkedVersion, linkedRevision string

// build returns the version and the revision that the linker was given, or else those that the Go tool found.
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

// ServeMetrics is Serve of /metrics alone: they are for operators, and have an address of their own.
func ServeMetrics(ctx context.Context, addr string, reg *prometheus.Registry, log *slog.Logger) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", MetricsHandler(reg))
	return Serve(ctx, addr, mux, log)
}

// MetricsHandler serves the metrics of reg.
func MetricsHandler(reg *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg})
}

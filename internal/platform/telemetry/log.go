// Package telemetry provides logging, metrics, profiling and health checks for the services.
package telemetry

import (
	"io"
	"log/slog"
	"time"
)

// timeForm is the RFC 3339 layout with milliseconds. Its width is fixed, so sorting log lines as
// strings sorts them by time.
const timeForm = "2006-01-02T15:04:05.000Z07:00"

// NewLogger returns a logger that writes one JSON object per line, with the time in UTC and the
// service's name.
func NewLogger(w io.Writer, service string, level slog.Level) *slog.Logger {
	h := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
			a.Value = slog.StringValue(a.Value.Time().UTC().Format(timeForm))
		} else if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().Round(time.Microsecond).String())
		}
		return a
	}})
	return slog.New(h).With("service", service)
}

// Package probe checks a deployment end to end, repeatedly or once.
//
// In each pass, the probe logs in, connects to every gateway, sends one message and waits for its
// ack. It then receives the message from every gateway and finds its row in PostgreSQL. A pass
// fails at the first step that does not succeed within the pass's timeout. The messages stay in a
// private channel whose only member is the probe's account.
package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/internal/platform/telemetry"
)

// Config holds the settings from the environment.
type Config struct {
	URL          string        `env:"PROBE_URL" envDefault:"http://localhost:8080" desc:"address of the REST API"`
	Gateways     config.List   `env:"PROBE_GATEWAYS" desc:"addresses of the gateways (ws://host:port/ws); a name stands for all of its addresses. Default: /ws at PROBE_URL"`
	User         string        `env:"PROBE_USER" envDefault:"parley-probe" desc:"username of an account that only the probe uses"`
	Password     string        `env:"PROBE_PASSWORD" desc:"password of the account (required)"`
	Email        string        `env:"PROBE_EMAIL" desc:"if set, the probe signs up with this email address when the account does not exist"`
	DatabaseURL  string        `env:"DATABASE_URL" desc:"database to check for the message's row; unset: the row is not checked"`
	DatabaseRole string        `env:"DATABASE_ROLE" envDefault:"parley_ws" desc:"role to set after login"`
	Every        time.Duration `env:"PROBE_EVERY" envDefault:"30s" desc:"time from one pass to the next"`
	Timeout      time.Duration `env:"PROBE_TIMEOUT" envDefault:"10s" desc:"timeout of a pass"`
	Addr         string        `env:"PROBE_ADDR" envDefault:":8083" desc:"listen address of /metrics and /healthz"`
	LogLevel     slog.Level    `env:"LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error"`
}

func (c *Config) check() error {
	var errs []error
	bad := func(name, text string) { errs = append(errs, &config.Error{Name: name, Err: errors.New(text)}) }
	if err := config.CheckHTTP(c.URL); err != nil {
		errs = append(errs, &config.Error{Name: "PROBE_URL", Err: err})
	}
	for i, g := range c.Gateways {
		if _, err := config.ParseURL(g, "ws", "wss"); err != nil {
			errs = append(errs, &config.Error{Name: "PROBE_GATEWAYS", Err: fmt.Errorf("address %d of %d %w", i+1, len(c.Gateways), err)})
		}
	}
	if c.Password == "" {
		bad("PROBE_PASSWORD", "is required")
	}
	if c.Every <= 0 {
		bad("PROBE_EVERY", "must be greater than 0")
	}
	if c.Timeout <= 0 {
		bad("PROBE_TIMEOUT", "must be greater than 0")
	}
	return errors.Join(errs...)
}

const usage = `
parley-probe        runs a pass every PROBE_EVERY and serves the results at /metrics
parley-probe once   runs one pass, prints its result and exits with 1 if it failed
`

// Main runs the program.
func Main(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	var cfg Config
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		config.Usage(stderr, "parley-probe", cfg)
		fmt.Fprint(stderr, usage)
		return nil
	}
	once := len(args) == 1 && args[0] == "once"
	if len(args) > 0 && !once {
		return fmt.Errorf("unknown argument %q: settings come from the environment, see --help", args[0])
	}
	if err := errors.Join(config.Load(&cfg, getenv), cfg.check()); err != nil {
		return err
	}
	p, err := open(cfg)
	if err != nil {
		return err
	}
	defer p.close()
	if once {
		return p.once(ctx, stdout)
	}
	return p.serve(ctx, telemetry.NewLogger(stderr, "parley-probe", cfg.LogLevel))
}

// once runs the checks once, prints the result, and logs out.
func (p *probe) once(ctx context.Context, stdout io.Writer) error {
	r, err := p.pass(ctx)
	if err != nil {
		return errors.Join(err, p.logOut(ctx))
	}
	if err := json.NewEncoder(stdout).Encode(r.summary()); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return p.logOut(ctx)
}

// serve runs the checks repeatedly and serves the results as metrics until ctx is done.
func (p *probe) serve(ctx context.Context, log *slog.Logger) error {
	reg := telemetry.NewRegistry("parley-probe")
	m := newMetrics(reg)
	mux := http.NewServeMux()
	mux.Handle("/metrics", telemetry.MetricsHandler(reg))
	mux.Handle("/healthz", telemetry.HealthHandler())
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", p.cfg.Addr)
	if err != nil {
		return fmt.Errorf("PROBE_ADDR: %w", err)
	}
	return lifecycle.Run(ctx, log, p.cfg.Timeout,
		lifecycle.Part{Name: "listener", Run: func(ctx context.Context) error { return telemetry.ServeListener(ctx, l, mux, log) }},
		lifecycle.Part{Name: "passes", Run: func(ctx context.Context) error {
			for ok := true; ok; ok = lifecycle.Sleep(ctx, p.cfg.Every) {
				r, err := p.pass(ctx)
				if ctx.Err() != nil {
					break
				}
				m.note(r, err)
				if err != nil {
					log.ErrorContext(ctx, "the pass failed", "err", err)
				} else {
					log.DebugContext(ctx, "the pass succeeded", "result", r.summary())
				}
			}
			return p.logOut(context.WithoutCancel(ctx))
		}})
}

// metrics holds the metrics that alerts use.
type metrics struct {
	up      prometheus.Gauge
	passes  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newMetrics(reg *prometheus.Registry) *metrics {
	m := &metrics{
		up: prometheus.NewGauge(prometheus.GaugeOpts{Name: "parley_probe_up", Help: "1 if the last pass succeeded, else 0."}),
		passes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_probe_passes_total", Help: "Passes by the step that failed; empty if they succeeded.",
		}, []string{"failed"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "parley_probe_step_seconds", Help: "Duration of each step of a pass.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"step"}),
	}
	reg.MustRegister(m.up, m.passes, m.seconds)
	for _, s := range append(steps, "") {
		m.passes.WithLabelValues(string(s))
	}
	return m
}

func (m *metrics) note(r result, err error) {
	for s, took := range r.took {
		m.seconds.WithLabelValues(string(s)).Observe(took.Seconds())
	}
	failed, ok := errors.AsType[*StepError](err)
	if err == nil {
		m.up.Set(1)
		m.passes.WithLabelValues("").Inc()
		return
	}
	m.up.Set(0)
	if ok {
		m.passes.WithLabelValues(string(failed.Step)).Inc()
	}
}

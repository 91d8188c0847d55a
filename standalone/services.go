package standalone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	chatservice "parley.chat/chat-service"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/internal/platform/program"
	"parley.chat/internal/platform/telemetry"
	syncservice "parley.chat/sync-service"
	wsserver "parley.chat/ws-server"
)

// services holds the HTTP handlers, the readiness checks and the background tasks (lifecycle parts)
// of the three services.
type services struct {
	api, gateway http.Handler
	checks       []telemetry.Check
	parts        []lifecycle.Part // in start order
}

// otherDescriptors is the maximum number of file descriptors that the services other than ws-server
// need in total.
const otherDescriptors = 256

// newServices creates the services. It does not start them and opens no connections. Their metrics
// will be served at metricsURL.
func newServices(cfg Config, st *stores, metricsURL string, reg *prometheus.Registry, logs func(service string) *slog.Logger) (_ *services, err error) {
	cfg.ws.OtherDescriptors = otherDescriptors
	cfg.chat.Addr, cfg.ws.Addr, cfg.sync.Addr = "", "", ""
	cfg.chat.DatabaseURL, cfg.ws.DatabaseURL, cfg.sync.DatabaseURL = st.databaseURL, st.databaseURL, st.databaseURL
	cfg.chat.RedisURL, cfg.ws.RedisURL, cfg.sync.RedisURL = st.redisURL, st.redisURL, st.redisURL
	cfg.chat.KeysDir = cfg.KeysDir
	cfg.chat.MetricsTargets = []string{metricsURL}
	if cfg.sync.ConsumerName == "" {
		if cfg.sync.ConsumerName, err = consumerName(cfg); err != nil {
			return nil, err
		}
	}

	regs := make(map[string]*prometheus.Registry)
	for _, name := range []string{"chat-service", "ws-server", "sync-service"} {
		if regs[name], err = subregistry(reg, name); err != nil {
			return nil, err
		}
	}
	chat, err := chatservice.New(cfg.chat, logs("chat-service"), regs["chat-service"])
	if err != nil {
		return nil, err
	}
	ws, err := wsserver.New(cfg.ws, chat.Keys(), regs["ws-server"], logs("ws-server"))
	if err != nil {
		return nil, errors.Join(err, chat.Close())
	}
	persister, err := syncservice.New(cfg.sync, logs("sync-service"), regs["sync-service"])
	if err != nil {
		return nil, errors.Join(err, ws.Close(), chat.Close())
	}
	s := &services{api: chat.Handler(), gateway: ws.Handler()}
	s.add("sync-service", persister)
	s.add("chat-service", chat)
	s.add("ws-server", ws)
	return s, nil
}

// add adds the background tasks and the readiness checks of a service under its name. The service's
// clients are closed after its other tasks have stopped.
func (s *services) add(name string, service program.Service) {
	s.parts = append(s.parts, lifecycle.Part{Name: name + " clients", Run: func(ctx context.Context) error {
		<-ctx.Done()
		return service.Close()
	}})
	for _, part := range service.Parts() {
		s.parts = append(s.parts, lifecycle.Part{Name: name + " " + part.Name, Run: part.Run})
	}
	for _, c := range service.Checks() {
		s.checks = append(s.checks, telemetry.Check{Name: name + "/" + c.Name, Check: c.Check, Optional: c.Optional})
	}
}

// handler routes the requests that arrive on the program's single port to the services.
func (s *services) handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.api)
	mux.Handle("/ws", s.gateway)
	mux.Handle("/ws/", s.gateway)
	telemetry.Probes(mux, log, s.checks...)
	return mux
}

// consumerName returns the persister's consumer name. With a private Redis, a fixed name is
// sufficient. With a shared Redis, the name must be unique per instance and stay the same after a
// restart.
func consumerName(cfg Config) (string, error) {
	if cfg.RedisURL == "" {
		return "standalone", nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("CONSUMER_NAME is not set, and the host name is unknown: %w", err)
	}
	_, port, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		port = cfg.Addr
	}
	return host + "-standalone-" + port, nil
}

// subregistry returns a separate registry for a service. Its metrics appear in reg with a service
// label, so that two services can use the same metric name.
func subregistry(reg *prometheus.Registry, service string) (*prometheus.Registry, error) {
	sub := prometheus.NewRegistry()
	labeled := prometheus.WrapRegistererWith(prometheus.Labels{"service": service}, reg)
	if err := labeled.Register(unchecked{sub}); err != nil {
		return nil, fmt.Errorf("register the metrics of %s: %w", service, err)
	}
	return sub, nil
}

// unchecked is a prometheus.Collector that describes no metrics, because the service adds its
// metrics to the registry only later.
type unchecked struct{ reg *prometheus.Registry }

func (unchecked) Describe(chan<- *prometheus.Desc) {}

func (u unchecked) Collect(ch chan<- prometheus.Metric) { u.reg.Collect(ch) }

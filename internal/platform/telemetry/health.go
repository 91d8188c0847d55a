package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley.chat/internal/platform/outage"
)

// checkTimeout limits each readiness check.
const checkTimeout = 2 * time.Second

// Check is one readiness check. It checks a dependency without which the service cannot do its
// work. Its context expires after 2 s. Several requests may run it at the same time.
//
// Anyone can read /readyz, so it shows only the Reason of a *StateError. Other details of an error,
// such as addresses, names and a server's error message, are not shown. The log contains the full
// error.
type Check struct {
	Name  string
	Check func(ctx context.Context) error
	// Optional marks a check whose failure does not prevent the service from working. The failure
	// is shown, but /readyz still returns 200.
	Optional bool
}

// StateError is an error from a check, with a description that is safe to publish.
type StateError struct {
	Reason   string // for /readyz, such as "is read-only"
	Err      error  // for the log; may be nil
	Degraded bool   // the service still works, so /readyz shows the error but returns 200
}

func (s *StateError) Error() string {
	if s.Err == nil {
		return s.Reason
	}
	return s.Reason + ": " + s.Err.Error()
}

func (s *StateError) Unwrap() error { return s.Err }

// noAnswer is the reason that /readyz shows for an error that is not a StateError.
const noAnswer = "does not answer"

// Handler serves /healthz, /readyz and /metrics. It must be used only on an address that is not
// public.
func Handler(reg *prometheus.Registry, log *slog.Logger, checks ...Check) http.Handler {
	mux := http.NewServeMux()
	Probes(mux, log, checks...)
	mux.Handle("GET /metrics", MetricsHandler(reg))
	return mux
}

// Probes adds /healthz and /readyz to mux.
func Probes(mux *http.ServeMux, log *slog.Logger, checks ...Check) {
	mux.Handle("GET /healthz", HealthHandler())
	mux.Handle("GET /readyz", ReadyHandler(log, checks...))
}

// HealthHandler returns 200 as long as the process can serve requests. It checks no other service,
// so that an orchestrator does not restart this one because another service is down.
func HealthHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
}

// The states of a check and of the whole response.
const (
	statusOK          = "ok"
	statusDegraded    = "degraded"
	statusFailed      = "failed"      // of a check
	statusUnavailable = "unavailable" // of the whole response
)

// Readiness is the response of ReadyHandler.
type Readiness struct {
	// Status is ok, degraded (ready, but something needs repair) or unavailable.
	Status string                 `json:"status"`
	Checks map[string]CheckResult `json:"checks"`
}

// CheckResult is the state of one check.
type CheckResult struct {
	Status string `json:"status"` // ok, degraded or failed
	Reason string `json:"reason,omitempty"`
}

// ReadyHandler runs the checks concurrently. It returns 503 if a check fails, unless the check is
// optional or its error is degraded, and 200 otherwise. The response shows the state of each check.
// While checks fail and requests continue, failures are logged once a minute. The recovery is also
// logged.
func ReadyHandler(log *slog.Logger, checks ...Check) http.Handler {
	failures := outage.New(log, "not ready", "ready again")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, code := Readiness{Status: statusOK, Checks: map[string]CheckResult{}}, http.StatusOK
		for i, err := range runAll(r.Context(), checks) {
			result := resultOf(checks[i], err)
			answer.Checks[checks[i].Name] = result
			switch result.Status {
			case statusFailed:
				answer.Status, code = statusUnavailable, http.StatusServiceUnavailable
			case statusDegraded:
				if answer.Status == statusOK {
					answer.Status = statusDegraded
				}
			}
			if r.Context().Err() != nil {
				continue // the check may have failed only because the client has disconnected
			}
			if err != nil {
				failures.Failed(r.Context(), checks[i].Name, err, "check", checks[i].Name)
			} else {
				failures.Worked(r.Context(), checks[i].Name)
			}
		}
		writeJSON(w, code, answer)
	})
}

func resultOf(c Check, err error) CheckResult {
	if err == nil {
		return CheckResult{Status: statusOK}
	}
	result := CheckResult{Status: statusFailed, Reason: noAnswer}
	state, ok := errors.AsType[*StateError](err)
	if ok {
		result.Reason = state.Reason
	}
	if c.Optional || ok && state.Degraded {
		result.Status = statusDegraded
	}
	return result
}

// runAll runs the checks concurrently. It stops waiting for a check at the timeout, even if the
// check ignores its context; the check's goroutine then ends when the check returns.
func runAll(ctx context.Context, checks []Check) []error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	results := make([]error, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			done := make(chan error, 1)
			go func() { done <- c.Check(ctx) }()
			select {
			case results[i] = <-done:
			case <-ctx.Done():
				results[i] = &StateError{Reason: fmt.Sprintf("no answer within %d seconds", checkTimeout/time.Second), Err: context.DeadlineExceeded}
			}
			if ctx.Err() != nil && errors.Is(results[i], context.DeadlineExceeded) {
				results[i] = &StateError{Reason: fmt.Sprintf("no answer within %d seconds", checkTimeout/time.Second), Err: results[i]}
			}
		})
	}
	wg.Wait()
	return results
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // ignore the error: the client has disconnected
}

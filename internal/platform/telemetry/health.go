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

// checkTimeout bounds each check of readiness.
const checkTimeout = 2 * time.Second

// Check is one condition of readiness: something without which the service cannot do its work. It gets
// a context that ends after 2 s. It may be called by several requests at the same time.
//
// /readyz can be read by anybody, so it shows the words of a *StateError and nothing else of an error: no
// address, no name, no text of a server. The log has the rest.
type Check struct {
	Name  string
	Check func(ctx context.Context) error
	// Optional says that the service does its work without it: a failure is shown, and /readyz stays 200.
	Optional bool
}

// StateError is an error of a check that says in words, which anybody may read, what is wrong.
type StateError struct {
	Reason   string // for /readyz, such as "is read-only"
	Err      error  // for the log; may be nil
	Degraded bool   // the service can do its work all the same: shown, and /readyz stays 200
}

func (s *StateError) Error() string {
	if s.Err == nil {
		return s.Reason
	}
	return s.Reason + ": " + s.Err.Error()
}

func (s *StateError) Unwrap() error { return s.Err }

// noAnswer is shown for an error that is no StateError.
const noAnswer = "does not answer"

// Handler serves /healthz, /readyz and /metrics, for an address that the world does not reach.
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

// HealthHandler answers 200 as long as the process serves: it looks at no other service, so that no
// orchestrator restarts us because of somebody else's trouble.
func HealthHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
}

// The states of a check, and of the whole.
const (
	statusOK          = "ok"
	statusDegraded    = "degraded"
	statusFailed      = "failed"      // of a check
	statusUnavailable = "unavailable" // of the whole
)

// Readiness is the answer of ReadyHandler.
type Readiness struct {
	Status string                 `json:"status"` // ok, degraded (ready, with something to mend) or unavailable
	Checks map[string]CheckResult `json:"checks"`
}

// CheckResult is the state of one check.
type CheckResult struct {
	Status string `json:"status"`           // ok, degraded or failed
	Reason string `json:"reason,omitempty"` // in words
}

// ReadyHandler runs the checks side by side and answers 200 if every check passes that is not optional,
// else 503. The answer shows the state of each. A check that fails is logged when that begins, once a
// minute while it is asked for, and when it passes again.
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
				continue // the client went away, which says nothing about the check
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

// runAll runs the checks side by side. One that does not heed its context is given up at the timeout; its
// goroutine ends when it does.
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
				results[i] = &StateError{Reason: fmt.Sprintf("no answer within %v", checkTimeout), Err: context.DeadlineExceeded}
			}
			if ctx.Err() != nil && errors.Is(results[i], context.DeadlineExceeded) {
				results[i] = &StateError{Reason: fmt.Sprintf("no answer within %v", checkTimeout), Err: results[i]}
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
	_ = json.NewEncoder(w).Encode(v) // the client went away: nobody is left to tell
}

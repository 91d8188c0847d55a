package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// checkTimeout bounds each check of readiness.
const checkTimeout = 2 * time.Second

// Check is one condition of readiness: something without which the service cannot do its work. It gets
// a context that ends after 2 s. It may be called by several requests at once.
type Check struct {
	Name  string
	Check func(ctx context.Context) error
}

// Handler serves /healthz, /readyz and /metrics.
func Handler(reg *prometheus.Registry, checks ...Check) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", HealthHandler())
	mux.Handle("GET /readyz", ReadyHandler(checks...))
	mux.Handle("GET /metrics", MetricsHandler(reg))
	return mux
}

// HealthHandler answers 200 as long as the process serves: it looks at no other service, so that no
// orchestrator restarts us because of somebody else's trouble.
func HealthHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
}

// Readiness is the answer of ReadyHandler.
type Readiness struct {
	Status string                 `json:"status"` // ok or unavailable
	Checks map[string]CheckResult `json:"checks"`
}

// CheckResult is the state of one check.
type CheckResult struct {
	Status string `json:"status"` // ok or failed
	Error  string `json:"error,omitempty"`
}

// ReadyHandler runs the checks side by side and answers 200 if all pass, else 503. The answer tells the
// state of each. An error is shown as it is, so a check must keep secrets out of it.
func ReadyHandler(checks ...Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, code := Readiness{Status: "ok", Checks: map[string]CheckResult{}}, http.StatusOK
		for i, err := range runAll(r.Context(), checks) {
			result := CheckResult{Status: "ok"}
			if err != nil {
				result = CheckResult{Status: "failed", Error: err.Error()}
				answer.Status, code = "unavailable", http.StatusServiceUnavailable
			}
			answer.Checks[checks[i].Name] = result
		}
		writeJSON(w, code, answer)
	})
}

// runAll runs the checks at once. One that does not heed its context is given up at the timeout; its
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
				results[i] = fmt.Errorf("no answer within %v", checkTimeout)
			}
			if errors.Is(results[i], context.DeadlineExceeded) {
				results[i] = fmt.Errorf("no answer within %v", checkTimeout)
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

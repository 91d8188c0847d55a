package chatservice_test

import (
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	chatservice "parley.chat/chat-service"
	"parley.chat/internal/platform/telemetry"
)

type opsAnswer struct {
	Targets []struct {
		URL string
		Up  bool
	}
	Totals  struct{ Connections *int64 }
	Streams struct{ Known bool }
}

// TestOps checks that operators see the metrics of all instances, that the role takes effect
// immediately, and that other users are refused.
func TestOps(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	connections := prometheus.NewGauge(prometheus.GaugeOpts{Name: "parley_ws_connections", Help: "x"})
	reg.MustRegister(connections)
	connections.Set(42)
	gateway := httptest.NewServer(telemetry.MetricsHandler(reg))
	t.Cleanup(gateway.Close)
	w := newWorld(t, func(c *chatservice.Config) { c.MetricsTargets = []string{gateway.URL + "/metrics"} })
	ann := w.signup("ann")
	isOperator := func() bool {
		var me struct{ Operator bool }
		w.get("/v1/me", ann.Token).into(t, 200, &me)
		return me.Operator
	}
	if w.get("/v1/ops/metrics", ann.Token).want(t, 403, "forbidden"); isOperator() {
		t.Error("a new user is an operator")
	}
	w.Exec("update users set operator = true where id = $1", ann.ID)
	var got opsAnswer
	w.get("/v1/ops/metrics", ann.Token).into(t, 200, &got)
	if len(got.Targets) != 1 || !got.Targets[0].Up || got.Totals.Connections == nil || *got.Totals.Connections != 42 || got.Streams.Known || !isOperator() {
		t.Errorf("an operator sees %+v", got)
	}
	w.Exec("update users set operator = false where id = $1", ann.ID)
	w.get("/v1/ops/metrics", ann.Token).want(t, 403, "forbidden")

	w.Exec("update users set operator = true where id = $1", ann.ID)
	w.send(request{method: "DELETE", path: "/v1/me", token: ann.Token, body: object{"password": goodPassword}})
	if n := w.Count("select count(*) from users where operator"); n != 0 {
		t.Error("a deleted account is an operator")
	}
}

func TestOps_everybody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *chatservice.Config) { c.OpsFor, c.MetricsTargets = "everybody", nil })
	var me struct{ Operator bool }
	ann := w.signup("ann")
	w.get("/v1/me", ann.Token).into(t, 200, &me)
	var got opsAnswer
	w.get("/v1/ops/metrics", ann.Token).into(t, 200, &got)
	if !me.Operator {
		t.Error("/v1/me does not report the user as an operator")
	}
	w.get("/v1/ops/metrics", "").want(t, 401, "unauthenticated")
}

// TestOps_firstAccount checks that only one of several concurrent signups becomes an operator.
func TestOps_firstAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *chatservice.Config) { c.OpsFor, c.MetricsTargets = "first-account", nil })
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			_, err := w.try(request{method: "POST", path: "/v1/signup", body: object{
				"username": fmt.Sprint("user-", i), "email": fmt.Sprint("user-", i, "@example.com"), "password": goodPassword, "session": "bearer",
			}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if all, operators := w.Count("select count(*) from users"), w.Count("select count(*) from users where operator"); all != 8 || operators != 1 {
		t.Errorf("%d of %d users are operators, want 1 of 8", operators, all)
	}
	// A user who signs up later does not become an operator, even if there is no longer any
	// operator.
	w.Exec("update users set operator = false")
	ann := w.signup("ann")
	w.get("/v1/ops/metrics", ann.Token).want(t, 403, "forbidden")
}

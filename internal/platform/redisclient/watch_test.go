package redisclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/platform/telemetry"
)

// If a setting lets Redis lose messages, that is logged once, and shown in the metric and at
// /readyz until it is repaired. Such a setting is detected even if it is changed while the service
// is running.
func TestWatch(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t, redistest.Options{MaxMemory: 64 << 20})
	log := &testkit.Output{}
	reg := prometheus.NewRegistry()
	w := NewWatch(open(t, s.URL()), reg, slog.New(slog.NewTextHandler(log, nil)))
	w.every = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	want := func(warnings ...string) {
		t.Helper()
		testkit.Until(t, testkit.Timeout, func() error {
			got := w.Warnings()
			if len(got) != len(warnings) {
				return fmt.Errorf("warnings %q, want %q", got, warnings)
			}
			for i, text := range warnings {
				if !strings.HasPrefix(got[i], text) {
					return fmt.Errorf("warnings %q, want %q", got, warnings)
				}
			}
			return nil
		})
	}
	gauges := func() map[string]float64 {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				all[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
		return all
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if all := gauges(); len(all) != len(risks) {
			return fmt.Errorf("series %v", all)
		}
		return nil
	})
	want() // a correctly configured Redis causes no log line
	if log.String() != "" {
		t.Errorf("log of a Redis in good order:\n%s", log)
	}
	admin := s.Client(t)
	set := func(name, value string) {
		t.Helper()
		if err := admin.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("maxmemory-policy", "allkeys-lru")
	want("maxmemory-policy is allkeys-lru")
	if state, ok := errors.AsType[*telemetry.StateError](w.Ready(t.Context(), 16)); !ok || !state.Degraded || !strings.HasPrefix(state.Reason, "maxmemory-policy is allkeys-lru") {
		t.Errorf("ready: %+v, want degraded with the reason", state)
	}
	set("appendonly", "no")
	want("maxmemory-policy is allkeys-lru", "appendonly is off")
	set("maxmemory", "0")
	want("maxmemory-policy is allkeys-lru", "appendonly is off", "maxmemory is not set")
	if all := gauges(); all["maxmemory-policy"] != 1 || all["appendonly"] != 1 || all["maxmemory"] != 1 || all["append-only file"] != 0 {
		t.Errorf("metric %v", all)
	}
	set("maxmemory-policy", "noeviction")
	set("maxmemory", "64mb")
	want("appendonly is off")
	if all := gauges(); all["maxmemory-policy"] != 0 {
		t.Errorf("metric %v, and it is mended", all)
	}
	if n := strings.Count(log.String(), "can lose acknowledged messages"); n != 3 {
		t.Errorf("%d lines about 3 settings:\n%s", n, log)
	}
}

// Every server in a Cluster is checked, including replicas, and a server that is down does not
// prevent the others from being checked.
func TestWatch_cluster(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 3, 1, redistest.Options{MaxMemory: 64 << 20})
	w := NewWatch(open(t, c.URL()), prometheus.NewRegistry(), silent)
	if err := w.check(t.Context()); err != nil || len(w.Warnings()) != 0 {
		t.Fatalf("%q, %v", w.Warnings(), err)
	}
	if err := c.Replicas[2][0].Client(t).ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	c.Replicas[0][0].Kill(t)
	testkit.Until(t, testkit.Timeout, func() error {
		err := w.check(t.Context())
		if got := w.Warnings(); err != nil || len(got) != 1 {
			return fmt.Errorf("%q, %w", got, err)
		}
		return nil
	})
}

// These are risks that a test cannot produce with a real server.
func TestRisks(t *testing.T) {
	t.Parallel()
	for info, want := range map[string]string{
		"aof_enabled:1\r\naof_last_write_status:err\r\nmaxmemory:1": "append-only file",
		"aof_enabled:1\r\naof_last_write_status:ok\r\nmaxmemory:1":  "",
		"":                              "",
		"maxmemory_policy:volatile-ttl": "maxmemory-policy",
	} {
		got := ""
		for _, r := range risks {
			if r.holds(infoOf(info)) {
				got += r.setting
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", info, got, want)
		}
	}
}

package telemetry_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"parley.chat/internal/platform/telemetry"
)

func TestProfileHandler(t *testing.T) {
	if code, body := get(t, telemetry.ProfileHandler(), "/debug/pprof/"); code != 200 || !strings.Contains(body, "goroutine") {
		t.Errorf("index = %d %.100s", code, body)
	}
	// A profile begins with the gzip header.
	if code, body := get(t, telemetry.ProfileHandler(), "/debug/pprof/profile?seconds=1"); code != 200 || !strings.HasPrefix(body, "\x1f\x8b") {
		t.Errorf("profile = %d %.20q", code, body)
	}
}

// TestServeProfiles_off checks that without an address nothing is served until ctx is done.
func TestServeProfiles_off(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := telemetry.ServeProfiles(ctx, "", slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
}

package tracing_test

import (
	"maps"
	"strings"
	"testing"

	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/telemetry/tracing"
)

func TestHeaders(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]tracing.Headers{
		"":          {},
		" , ":       {},
		"api-key=k": {"api-key": "k"},
		"Authorization=Basic%20eA==, x-tenant = a%2Cb+c ,": {"Authorization": "Basic eA==", "x-tenant": "a,b+c"},
		"empty=": {"empty": ""},
	} {
		var got tracing.Headers
		if err := got.UnmarshalText([]byte(text)); err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"secret", "=secret", "a b=secret", "ü=secret", "k=secret%", "k=secret%zz", "k=secret%0d%0aInjected: 1", "ok=1,secret"} {
		var got tracing.Headers
		if err := got.UnmarshalText([]byte(text)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want an error that does not show the value", text, err)
		}
	}
}

// TestConfig_environment checks that the variables are those of OpenTelemetry, and that an empty
// one counts as unset.
func TestConfig_environment(t *testing.T) {
	t.Parallel()
	load := func(vars map[string]string) (cfg tracing.Config, err error) {
		err = config.Load(&cfg, func(name string) string { return vars[name] })
		return cfg, err
	}
	cfg, err := load(map[string]string{
		"OTEL_EXPORTER_OTLP_HEADERS": "a=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "b=2",
		"OTEL_EXPORTER_OTLP_TIMEOUT": "2500", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
	})
	if err != nil || cfg.Headers["a"] != "1" || cfg.TracesHeaders["b"] != "2" || cfg.Timeout != 2500 || cfg.Compression != "gzip" || cfg.Check() != nil {
		t.Errorf("%+v, %v, %v", cfg, err, cfg.Check())
	}
	if cfg, err = load(nil); err != nil || cfg.Timeout != 10_000 || len(cfg.Headers) != 0 || cfg.Check() != nil {
		t.Errorf("%+v, %v, %v", cfg, err, cfg.Check())
	}
	if _, err := load(map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "secret"}); err == nil ||
		!strings.HasPrefix(err.Error(), "OTEL_EXPORTER_OTLP_HEADERS: ") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

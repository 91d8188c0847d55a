package outage_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"parley.chat/internal/platform/outage"
)

// lines returns the logged lines without time and level.
func lines(t *testing.T, b *bytes.Buffer) (got []map[string]any) {
	t.Helper()
	for dec := json.NewDecoder(b); dec.More(); {
		line := map[string]any{}
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		delete(line, "time")
		got = append(got, line)
	}
	return got
}

// TestLog simulates an outage of 100 s in which each of two steps fails twice a second. It must be
// logged with one line when it begins, one per minute, and one when both steps work again.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := outage.New(slog.New(slog.NewJSONHandler(&b, nil)), "storing failed", "storing works again")
		l.Worked(t.Context(), "write")
		down := errors.New("connection refused")
		for range 200 {
			l.Failed(t.Context(), "write", down, "partition", 3)
			l.Failed(t.Context(), "watermark", down)
			time.Sleep(500 * time.Millisecond)
		}
		l.Worked(t.Context(), "trim")
		l.Worked(t.Context(), "watermark")
		l.Worked(t.Context(), "write")
		l.Worked(t.Context(), "write")
		want := []map[string]any{
			{"level": "WARN", "msg": "storing failed", "failures": 1.0, "lasting": 0.0, "steps": []any{"write"}, "partition": 3.0, "err": down.Error()},
			{"level": "WARN", "msg": "storing failed", "failures": 241.0, "lasting": 60e9, "steps": []any{"watermark", "write"}, "partition": 3.0, "err": down.Error()},
			{"level": "INFO", "msg": "storing works again", "failures": 400.0, "lasting": 100e9, "steps": []any{"write"}},
		}
		if got := lines(t, &b); !reflect.DeepEqual(got, want) {
			t.Errorf("logged %v\nwant %v", got, want)
		}
	})
}

// TestLog_comesAndGoes simulates an outage that begins and ends every second. It must be logged
// with two lines a minute, not two a second, and each minute's line must include the failures that
// the previous lines did not count.
func TestLog_comesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := outage.New(slog.New(slog.NewJSONHandler(&b, nil)), "failed", "works again")
		for range 125 {
			l.Failed(t.Context(), "", errors.New("no"))
			l.Worked(t.Context(), "")
			time.Sleep(time.Second)
		}
		var got []any
		for _, line := range lines(t, &b) {
			got = append(got, line["msg"], line["failures"])
		}
		want := []any{"failed", 1.0, "works again", 1.0, "failed", 60.0, "works again", 60.0, "failed", 60.0, "works again", 60.0}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("logged %v, want %v", got, want)
		}
	})
}

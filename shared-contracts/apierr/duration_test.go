package apierr_test

import (
	"testing"
	"time"

	"parley.chat/shared-contracts/apierr"
)

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		24 * time.Hour:               "24 hours",
		time.Hour:                    "1 hour",
		90 * time.Minute:             "1 hour 30 minutes",
		61 * time.Second:             "1 minute 1 second",
		5 * time.Second:              "5 seconds",
		time.Hour + 2*time.Second:    "1 hour 2 seconds",
		1500 * time.Millisecond:      "1.5 seconds",
		0:                            "0 seconds",
		4320*time.Hour + time.Minute: "4320 hours 1 minute",
	} {
		if got := apierr.Duration(d); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
}

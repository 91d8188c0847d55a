package testkit_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley.chat/internal/devkit/testkit"
)

// fatal is a testing.TB that records its fatal failure.
type fatal struct {
	testing.TB
	message string
}

func (*fatal) Helper() {}

func (f *fatal) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		testkit.Until(t, time.Minute, func() error {
			if calls++; calls < 5 {
				return errors.New("not yet")
			}
			return nil
		})
		if calls != 5 {
			t.Errorf("%d calls, want 5", calls)
		}

		f := &fatal{TB: t}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			testkit.Until(f, time.Second, func() error { return errors.New("still closed") })
		}()
		<-ended
		if !strings.Contains(f.message, "still closed") {
			t.Errorf("message = %q, want the last error", f.message)
		}
	})
}

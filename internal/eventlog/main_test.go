package eventlog_test

import (
	"testing"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

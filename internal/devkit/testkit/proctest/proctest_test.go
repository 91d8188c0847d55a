package proctest_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
)

// TestMain also lets the test binary act as the program that the tests start.
func TestMain(m *testing.M) {
	addr := os.Getenv("PROCTEST_ADDR")
	if addr == "" {
		goleak.VerifyTestMain(m)
		return
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println("hello from", addr, os.Getenv("GOFLAGS"))
	go func() { _ = http.ListenAndServe(addr, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) }()
	<-stop
}

func TestStart(t *testing.T) {
	t.Setenv("GOFLAGS", "inherited")
	addr := fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t))
	p := proctest.StartPath(t, os.Args[0], nil, map[string]string{"PROCTEST_ADDR": addr})
	p.WaitReady(t, "http://"+addr)
	if out := p.Output(); !strings.Contains(out, "hello from") || strings.Contains(out, "inherited") {
		t.Errorf("output = %q", out)
	}
	p.Term(t)
	if code := p.Wait(t, time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}

	p = proctest.StartPath(t, os.Args[0], nil, map[string]string{"PROCTEST_ADDR": addr})
	p.WaitReady(t, "http://"+addr)
	p.Kill(t)
	if code := p.Wait(t, time.Second); code != -1 {
		t.Errorf("exit code %d after SIGKILL, want -1", code)
	}
	testkit.Until(t, time.Second, func() error {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			err = l.Close()
		}
		return err
	})
}

func TestBuild(t *testing.T) {
	dir := os.Getenv("PARLEY_BIN_DIR")
	if dir == "" {
		t.Setenv("GOWORK", "") // without the workspace, the module cannot find the programs
		dir = proctest.Build(t, "migrate")
	}
	if _, err := os.Stat(dir + "/migrate"); err != nil {
		t.Error(err)
	}
	p := proctest.Start(t, "migrate", []string{"up"}, nil)
	if code := p.Wait(t, 10*time.Second); code != 2 || !strings.Contains(p.Output(), "DATABASE_URL") {
		t.Errorf("migrate up = %d, %q; want 2 and a word on DATABASE_URL", code, p.Output())
	}
}

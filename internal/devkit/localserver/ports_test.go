package localserver

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"parley.chat/internal/devkit/testkit"
)

const askPorts = "PARLEY_TEST_ASK_PORTS"

// TestFreePort_acrossProcesses lets four concurrent processes request more ports than a block has.
func TestFreePort_acrossProcesses(t *testing.T) {
	const processes, each = 4, blockPorts + 20
	if os.Getenv(askPorts) != "" {
		for range each {
			port, err := FreePort()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Printf("port %d\n", port)
		}
		_, _ = io.ReadAll(os.Stdin) // until all processes have answered
		return
	}
	t.Parallel()
	given := make(chan string, processes*each)
	for range processes {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), askPorts+"=1")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = in.Close()
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		}()
		lines := bufio.NewScanner(out)
		for n := 0; n < each && lines.Scan(); {
			if line := lines.Text(); strings.HasPrefix(line, "port ") {
				given <- line
				n++
			}
		}
	}
	close(given)
	seen := map[string]bool{}
	for port := range given {
		if seen[port] {
			t.Errorf("%s was given to two processes", port)
		}
		seen[port] = true
	}
	if len(seen) != processes*each {
		t.Errorf("%d ports, want %d", len(seen), processes*each)
	}
}

func TestFreePort_skipsUsedPorts(t *testing.T) {
	t.Parallel()
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	if !listened(port) {
		t.Errorf("port %d is reported as free, but a server listens", port)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// A child process that is just being forked may hold the listener open for a moment.
	testkit.Until(t, testkit.Timeout, func() error {
		if listened(port) {
			return fmt.Errorf("port %d is reported as used, but nobody listens", port)
		}
		return nil
	})
}

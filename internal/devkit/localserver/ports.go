package localserver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Ports are handed out from below the range from which systems take those of outgoing connections, so
// that a server that is stopped and started again finds its own free. They are cut into blocks: a process
// owns those that it has locked, and no two processes of a machine ever choose the same port, which a
// choice at random did once in a hundred runs of all tests.
const (
	firstPort  = 10000
	blockPorts = 100
	portBlocks = 220
)

// ports are those that this process may still hand out.
var ports struct {
	sync.Mutex
	left []int
	// locks are held as long as the process lives.
	locks []*os.File
}

// FreePort returns a loopback TCP port that nobody listens on and that no process has been given by
// FreePort before, as long as this one lives.
func FreePort() (int, error) {
	ports.Lock()
	defer ports.Unlock()
	for {
		if len(ports.left) == 0 {
			if err := claimPorts(); err != nil {
				return 0, fmt.Errorf("find a free port: %w", err)
			}
		}
		port := ports.left[0]
		ports.left = ports.left[1:]
		if !listened(port) {
			return port, nil
		}
	}
}

// claimPorts takes a block that no living process owns. ports is locked.
func claimPorts() error {
	err := errors.New("every port of 127.0.0.1 that is set aside for this is taken")
	for _, n := range rand.Perm(portBlocks) {
		// One user's locks are closed to another, who goes on to the next block.
		file, unopened := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("parley-ports-%d.lock", n)), os.O_RDWR|os.O_CREATE, 0o600)
		if unopened != nil {
			err = unopened
			continue
		}
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			_ = file.Close() // nothing was written
			continue
		}
		ports.locks = append(ports.locks, file)
		for i := range blockPorts {
			ports.left = append(ports.left, firstPort+n*blockPorts+i)
		}
		return nil
	}
	return err
}

// listened tells whether somebody answers at the port. It asks by a connection: a listener of our own,
// even closed at once, lives on in a program that is being forked at that moment.
func listened(port int) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return !errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = conn.Close() // nothing was said
	return true
}

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

// Ports are allocated below the range that systems use for outgoing connections, so that a server
// that is stopped and started again finds its port free. They are divided into blocks. A process
// owns the blocks that it has locked, so no two processes on a machine ever choose the same port.
// With random ports, two processes collided in about one of a hundred full test runs.
const (
	firstPort  = 10000
	blockPorts = 100
	portBlocks = 220
)

// ports holds the ports that this process owns and has not allocated yet.
var ports struct {
	sync.Mutex
	left []int
	// locks are held until the process ends.
	locks []*os.File
}

// FreePort returns a loopback TCP port that no process listens on and that FreePort has not
// returned to any other live process.
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

// claimPorts locks a block of ports that no live process owns. The caller must hold ports' lock.
func claimPorts() error {
	err := errors.New("all ports of 127.0.0.1 that are reserved for this are in use")
	for _, n := range rand.Perm(portBlocks) {
		// Lock files of other users cannot be opened. In that case, try the next block.
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

// listened reports whether a server accepts connections on the port. It connects to the port
// instead of listening on it. A process that is forked at that moment could inherit a listening
// socket, even one that is closed immediately.
func listened(port int) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return !errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = conn.Close() // nothing was sent
	return true
}

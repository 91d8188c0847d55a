//go:build !linux

package swarm

import (
	"errors"
	"fmt"
	"time"
)

// poller is implemented only for Linux. The load test also depends on /proc.
type poller struct{}

var errLinuxOnly = fmt.Errorf("the load test runs on Linux: %w", errors.ErrUnsupported)

func newPoller() (*poller, error)                                         { return nil, errLinuxOnly }
func (*poller) close() error                                              { return nil }
func (*poller) wake(time.Duration) error                                  { return errLinuxOnly }
func (*poller) wait(time.Duration, func(id int, in, end, out bool)) error { return errLinuxOnly }
func (*poller) add(int, int, bool) error                                  { return errLinuxOnly }
func (*poller) change(int, int, bool) error                               { return errLinuxOnly }
func connect([4]byte, int) (int, error)                                   { return -1, errLinuxOnly }
func connected(int) error                                                 { return errLinuxOnly }
func receive(int, []byte) (int, error)                                    { return 0, errLinuxOnly }

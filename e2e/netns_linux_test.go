package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// network simulates a host with a network namespace. A program may listen on fixed ports in it, and
// the test can open sockets in it. It needs root and the program ip.
type network struct {
	t    *testing.T
	name string
}

// newNetwork creates a namespace with a loopback device and removes it when the test ends.
func newNetwork(t *testing.T, role string) *network {
	t.Helper()
	n := &network{t: t, name: fmt.Sprintf("parley-%s-%d", role, os.Getpid())}
	run(t, "ip", "netns", "add", n.name)
	t.Cleanup(func() { run(t, "ip", "netns", "delete", n.name) })
	n.run("ip", "link", "set", "lo", "up")
	return n
}

// cable connects two hosts. Each gets the given address, with its prefix length, on its end.
func cable(a, b *network, addressA, addressB string) {
	a.t.Helper()
	a.run("ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", b.name)
	for n, address := range map[*network]string{a: addressA, b: addressB} {
		n.run("ip", "address", "add", address, "dev", "cable")
		n.run("ip", "link", "set", "cable", "up")
	}
}

// run runs a command of this machine on the simulated host.
func (n *network) run(args ...string) {
	n.t.Helper()
	run(n.t, append([]string{"ip", "netns", "exec", n.name}, args...)...)
}

func run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%q: %v: %s", args, err, out)
	}
}

// within calls f on a thread that is in the namespace, because a socket belongs to the namespace in
// which it was created. The thread ends with the goroutine, because it is never unlocked.
func (n *network) within(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		ns, err := os.Open("/run/netns/" + n.name)
		if err == nil {
			err = errors.Join(unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET), ns.Close())
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func (n *network) listen(address string) net.Listener {
	n.t.Helper()
	var l net.Listener
	if err := n.within(func() (err error) { l, err = net.Listen("tcp", address); return err }); err != nil {
		n.t.Fatal(err)
	}
	return l
}

func (n *network) listenPacket(address string) net.PacketConn {
	n.t.Helper()
	var c net.PacketConn
	if err := n.within(func() (err error) { c, err = net.ListenPacket("udp", address); return err }); err != nil {
		n.t.Fatal(err)
	}
	return c
}

func (n *network) dial(address string) (c net.Conn, err error) {
	err = n.within(func() (err error) { c, err = net.Dial("tcp", address); return err })
	return c, err
}

// forward forwards connections of l to dial, in both directions, until close is called. close waits
// for all connections to end.
func forward(l net.Listener, dial func() (net.Conn, error)) (closeAll func()) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	over := false
	track := func(c net.Conn) bool {
		mu.Lock()
		defer mu.Unlock()
		open[c] = true
		return !over
	}
	serve := func(front net.Conn) {
		back, err := dial()
		if err != nil {
			_ = front.Close()
			return
		}
		if !track(front) || !track(back) {
			_, _ = front.Close(), back.Close()
			return
		}
		wg.Go(func() { splice(back, front) })
		splice(front, back)
		mu.Lock()
		delete(open, front)
		delete(open, back)
		mu.Unlock()
	}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(c) })
		}
	})
	return func() {
		_ = l.Close()
		mu.Lock()
		over = true
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	}
}

// splice copies between two connections until either ends, and then closes both.
func splice(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = to.Close(), from.Close()
}

package wsserver_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"parley.chat/internal/devkit/testkit/wstest"
	wsserver "parley.chat/ws-server"
)

// lossyProxy is a proxy in front of Redis that drops published messages at random.
type lossyProxy struct {
	listener net.Listener
	target   string
	dropped  atomic.Int64
	conns    sync.WaitGroup
	ctx      context.Context
}

func newLossyProxy(t *testing.T, target string) *lossyProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &lossyProxy{listener: l, target: target, ctx: ctx}
	p.conns.Go(p.accept)
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		p.conns.Wait()
	})
	return p
}

func (p *lossyProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.conns.Go(func() { p.serve(client) })
	}
}

func (p *lossyProxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	stop := context.AfterFunc(p.ctx, func() { _ = client.Close(); _ = server.Close() })
	defer stop()
	p.conns.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	r := bufio.NewReader(server)
	for {
		reply, err := readReply(r)
		if err != nil {
			return
		}
		if bytes.Contains(reply[:min(len(reply), 40)], []byte("smessage")) && rand.IntN(3) == 0 {
			p.dropped.Add(1)
			continue
		}
		if _, err := client.Write(reply); err != nil {
			return
		}
	}
}

// readReply reads the bytes of one RESP2 or RESP3 value.
func readReply(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
	switch line[0] {
	case '$', '=', '!':
		if n < 0 {
			return line, nil
		}
		rest := make([]byte, n+2)
		_, err := io.ReadFull(r, rest)
		return append(line, rest...), err
	case '%':
		n *= 2
	case '*', '>', '~':
	default:
		return line, nil
	}
	for range n {
		part, err := readReply(r)
		if err != nil {
			return nil, err
		}
		line = append(line, part...)
	}
	return line, nil
}

func TestDroppedPublications_areDeliveredOnceInOrder(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	proxy := newLossyProxy(t, w.redis.Addr())
	one, _ := w.gateway()
	two, _ := w.gateway(func(cfg *wsserver.Config) { cfg.RedisURL = "redis://" + proxy.listener.Addr().String() })
	a, _ := w.connect(one, ann)
	b, _ := w.connect(two, bob)
	const n = 500
	for i := range n {
		ack := a.AwaitRef(t, a.Say(t, c, body(i)).String())
		if i%100 == 0 { // wait, so that this message is delivered or lost on its own
			b.Await(t, "the event", func(f wstest.Frame) bool { return f.Type == "message" && f.Seq == ack.Seq })
		}
	}
	b.AwaitSeq(t, c, 1, n)
	if proxy.dropped.Load() == 0 {
		t.Error("nothing was dropped, so the test proves nothing")
	}
	t.Logf("%d of %d messages dropped", proxy.dropped.Load(), n)
}

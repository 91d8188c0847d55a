package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"parley.chat/internal/platform/descriptors"
)

// Limits of an HTTP server. There is no write timeout, because WebSockets and large responses take
// a long time. Handlers set their own timeouts.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
	// shutdownTimeout limits how long active requests may take during a shutdown. Package
	// lifecycle's drain deadline may be shorter.
	shutdownTimeout = 20 * time.Second
)

// Serve serves handler on addr until ctx is done. It then waits for active requests to finish and
// returns nil. It is meant to be run by lifecycle.Run. It does not wait for connections that a
// handler has hijacked (WebSockets).
func Serve(ctx context.Context, addr string, handler http.Handler, log *slog.Logger) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	return ServeListener(ctx, l, handler, log)
}

// ServeListener is like Serve but accepts connections from l, which it closes. It limits the number
// of connections that are not hijacked, so that idle clients cannot exhaust the process's file
// descriptors.
func ServeListener(ctx context.Context, l net.Listener, handler http.Handler, log *slog.Logger) error {
	bounded := descriptors.Listen(l, descriptors.Plain(descriptors.Limit()), log)
	server := &http.Server{
		Handler: bounded.Serving(handler), ConnState: bounded.State, ConnContext: bounded.Context, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	log.InfoContext(ctx, "listening", "addr", l.Addr().String())
	served := make(chan error, 1)
	go func() { served <- server.Serve(bounded) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := server.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("finish requests on %s: %w", l.Addr(), errors.Join(err, server.Close()))
	}
	<-served // it returns http.ErrServerClosed
	return err
}

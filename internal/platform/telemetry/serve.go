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

// The bounds of a server. There is none for writing: a WebSocket or a large answer takes its time, and
// handlers bound themselves.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
	// shutdownWithin bounds how long requests in hand may take at the end. The drain deadline of
	// lifecycle may be shorter.
	shutdownWithin = 20 * time.Second
)

// Serve serves handler on addr until ctx ends, lets the requests in hand finish, and returns nil. It
// is a part for lifecycle.Run. Connections that a handler has taken over (WebSockets) are not waited
// for.
func Serve(ctx context.Context, addr string, handler http.Handler, log *slog.Logger) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	return ServeListener(ctx, l, handler, log)
}

// ServeListener is Serve on a listener of the caller's, which it closes. Connections that no handler has taken
// over are bounded, so that clients which send nothing cannot use up the process's file descriptors.
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin)
	defer cancel()
	err := server.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("finish requests on %s: %w", l.Addr(), errors.Join(err, server.Close()))
	}
	<-served // http.ErrServerClosed by now
	return err
}

package gateway

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"

	"parley.chat/internal/platform/browser"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/connection"
)

const (
	// requestTimeout limits the time for handling one upgrade request, one frame from a client, or
	// one notice about a client.
	requestTimeout = 5 * time.Second
	// refusedRetryDelay is sent as Retry-After when the instance or an address has too many
	// connections.
	refusedRetryDelay = 10 * time.Second
)

// Handler returns the handler for /ws and /ws/{channel_id}.
func (g *Gateway) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", g.requireKnownHost(g.rejectWhenFull(g.serveAllChannels)))
	mux.HandleFunc("GET /ws/{channel_id}", g.requireKnownHost(g.rejectWhenFull(g.serveChannel)))
	return mux
}

// credentials returns the token in a request, or "" if there is none. It returns an error if a page
// from another site tries to use the user's cookie.
func (g *Gateway) credentials(r *http.Request) (raw string, err error) {
	raw, byCookie, err := browser.AccessToken(r)
	if err != nil {
		return "", apierr.Wrap(err, apierr.Unauthenticated, "The request has two cookies with the same name. Delete this site's cookies and log in again.")
	}
	if byCookie {
		if err := g.cfg.Guard.CheckUpgrade(r); err != nil {
			return "", apierr.Wrap(err, apierr.ForeignOrigin, "Pages from this origin are not allowed to use this API.")
		}
	}
	return raw, nil
}

// requireKnownHost refuses requests for host names that the gateway does not serve.
func (g *Gateway) requireKnownHost(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !g.cfg.Hosts.Serves(r.Host) {
			writeProblem(w, apierr.New(apierr.Misdirected, "This host name is not served here (see PUBLIC_HOSTS)."))
			return
		}
		next(w, r)
	}
}

// serveAllChannels serves /ws, a connection for all of the user's channels. An invalid token is
// reported by a close frame after the upgrade, because a web page cannot read the status of a
// refused upgrade.
func (g *Gateway) serveAllChannels(w http.ResponseWriter, r *http.Request) {
	raw, err := g.credentials(r)
	if apierr.CodeOf(err) == apierr.ForeignOrigin {
		writeProblem(w, err)
		return
	}
	c := &client{g: g, subscribeAll: r.URL.Query().Get("subscribe") != "none"}
	if !c.subscribeAll {
		c.freeSubscriptions = cmp.Or(g.cfg.Bounds.Subscriptions, math.MaxInt)
	}
	authErr := err
	if raw != "" {
		authErr = g.authenticate(r.Context(), c, raw)
	}
	g.upgrade(w, r, c, func() bool {
		switch {
		case authErr != nil:
			c.out.Close(closeParams(authErr))
			return false
		case raw == "":
			return c.awaitAuth() && c.greet()
		}
		return c.greet()
	})
}

// serveChannel serves /ws/{channel_id}, a connection for one channel. It reports errors before the
// upgrade.
func (g *Gateway) serveChannel(w http.ResponseWriter, r *http.Request) {
	channel, err := chat.ParseChannelID(r.PathValue("channel_id"))
	raw, credentialsErr := g.credentials(r)
	c := &client{g: g, onlyChannel: &channel}
	switch {
	case credentialsErr != nil:
		err = credentialsErr
	case raw == "":
		err = apierr.New(apierr.Unauthenticated, "This connection requires a login. Send the access token as a cookie or as a bearer token.")
	default:
		if authErr := g.authenticate(r.Context(), c, raw); authErr != nil {
			err = authErr
		} else if err != nil {
			err = apierr.New(apierr.NotFound, "This channel does not exist.")
		} else {
			ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
			defer cancel()
			_, err = g.cfg.Store.Membership(ctx, c.user, channel)
		}
	}
	if err != nil {
		writeProblem(w, err)
		return
	}
	g.upgrade(w, r, c, c.greet)
}

// authenticate verifies a token and sets the client's user, session and expiry.
func (g *Gateway) authenticate(ctx context.Context, c *client, raw string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	claims, err := g.cfg.Verifier.Verify(ctx, raw)
	if errors.Is(err, token.ErrNotYet) {
		g.clockLog.Failed(ctx, "", err)
		return apierr.Wrap(err, apierr.Unavailable, "The access token is not valid yet because the clocks of two servers differ. Please try again.")
	}
	g.clockLog.Worked(ctx, "")
	switch {
	case errors.Is(err, token.ErrExpired):
		return apierr.Wrap(err, apierr.TokenExpired, "The access token has expired. Refresh the session.")
	case errors.Is(err, token.ErrInvalid):
		return apierr.Wrap(err, apierr.Unauthenticated, "The access token is not valid.")
	case err != nil:
		return apierr.Wrap(err, apierr.Unavailable, "The access token cannot be verified at the moment.")
	}
	c.user, c.session, c.username = claims.UserID, claims.SessionID, claims.Username
	c.expiresAt.Store(claims.ExpiresAt.Unix())
	return nil
}

// upgrade upgrades a request and starts the connection's goroutine, which first calls admit. The
// handler returns immediately afterward, so that the HTTP server's buffers and stack are freed.
func (g *Gateway) upgrade(w http.ResponseWriter, r *http.Request, c *client, admit func() bool) {
	if err := g.reserveConnection(c, r); err != nil {
		writeProblem(w, err)
		return
	}
	// Upgrade through a gatedWriter, so that the connection does not keep the request's memory
	// alive.
	gated := &gatedWriter{ResponseWriter: w}
	ws, err := g.upgrader.Upgrade(gated, r, nil)
	if err != nil {
		g.releaseConnection(c)
		g.cfg.Logger.Debug("failed to upgrade connection", "err", err) // gorilla has sent the response
		return
	}
	c.ws, c.slot = ws, slotCounter.Add(1)
	c.out.Begin(gated.gate.Conn, &g.sockets)
	gated.gate.Open(&c.out)
	if !g.register(c) {
		c.out.Close(connection.CloseRestart, reconnectReason())
	}
	if !g.readers.run(func() { c.run(admit) }) {
		c.cleanup()
	}
}

// gatedWriter gives gorilla a connection.Gate instead of the socket.
type gatedWriter struct {
	http.ResponseWriter
	gate *connection.Gate
}

// Hijack implements http.Hijacker.
func (w *gatedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, buffers, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.gate = connection.NewGate(c)
	return w.gate, buffers, nil
}

func allowAny(*http.Request) bool { return true }

// closeParams returns the close code and reason for an error that ends a connection.
func closeParams(err error) (code int, why string) {
	e := apierr.Of(err)
	if code = e.Code.CloseCode(); code == 0 {
		code = apierr.Internal.CloseCode()
	}
	if code == apierr.Unavailable.CloseCode() {
		return code, reconnectReason()
	}
	return code, closeReason(e.Message)
}

// writeProblem sends a problem document (RFC 9457) as the response to a request that is not
// upgraded.
func writeProblem(w http.ResponseWriter, err error) {
	e := apierr.Of(err)
	status := e.Code.HTTPStatus()
	w.Header().Set("Content-Type", apierr.ContentType)
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(e.RetryAfter.Seconds()))))
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(e.Problem()) // fails only if the client has disconnected
}

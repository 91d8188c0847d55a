package token

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"parley.chat/internal/platform/config"
)

// maxSet is the maximum size of a key set, in bytes.
const maxSet = 64 << 10

// RemoteConfig configures RemoteKeys. A zero optional field selects its default.
type RemoteConfig struct {
	URL string // required: the address of the key set
	// Fallback returns a copy of the key set to use while the URL is not responding. It must read
	// the copy from storage that only the issuer can write to. If Fallback is nil, there is no
	// copy.
	Fallback func(context.Context) (StaticKeys, error)
	Client   *http.Client  // default: a new client
	Timeout  time.Duration // time limit for each fetch and for each call of Fallback; default 3s
	Refresh  time.Duration // fetch interval; retired keys stay in use at most this long; default 5m
	Retry    time.Duration // minimum time between two fetches for unknown key ids; default 2s
	Logger   *slog.Logger  // default slog.Default()
}

// RemoteKeys is a key set that is fetched from a URL: on first use, when a token's kid is not in
// the set, and at the interval Refresh while Run is running. A key rotation therefore needs no
// restart. While the URL is not responding, RemoteKeys uses the set that Fallback returns.
type RemoteKeys struct {
	cfg RemoteConfig
	// fetching is a channel that is used as a lock. It holds one value. Only the goroutine that has
	// received the value may fetch the set and access tried and failed. A mutex is not used,
	// because a goroutine cannot stop waiting for it when a context is canceled.
	fetching chan struct{}
	tried    time.Time // time of the last fetch
	failed   error     // error of the last fetch from the URL, or nil

	set atomic.Pointer[StaticKeys] // stored by fetch
}

// NewRemoteKeys returns the key set at cfg.URL. It does no I/O.
func NewRemoteKeys(cfg RemoteConfig) *RemoteKeys {
	cfg.Timeout = cmp.Or(cfg.Timeout, 3*time.Second)
	cfg.Refresh, cfg.Retry = cmp.Or(cfg.Refresh, 5*time.Minute), cmp.Or(cfg.Retry, 2*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if cfg.Client == nil {
		// Do not keep a connection open for one request every few minutes.
		cfg.Client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}
	}
	r := &RemoteKeys{cfg: cfg, fetching: make(chan struct{}, 1)}
	r.fetching <- struct{}{}
	return r
}

// Run refreshes the set until ctx is done. If Run is not running, missing keys are still fetched,
// but a retired key may never be removed.
func (r *RemoteKeys) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Refresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.fetching:
			if err := r.fetch(ctx); err != nil {
				r.cfg.Logger.WarnContext(ctx, "failed to refresh the key set", "err", err)
			}
			r.fetching <- struct{}{}
		}
	}
}

// Key returns the key with id kid. It blocks only if kid is not in the cached set and the set has
// to be fetched again.
func (r *RemoteKeys) Key(ctx context.Context, kid string) (ed25519.PublicKey, error) {
	if key, ok := r.find(kid); ok {
		return key, nil
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the key set: %w", ctx.Err())
	case <-r.fetching:
	}
	defer func() { r.fetching <- struct{}{} }()
	if key, ok := r.find(kid); ok {
		return key, nil // another caller fetched the key while this one was waiting
	}
	if time.Since(r.tried) >= r.cfg.Retry {
		// The fetch serves all waiting callers, so it continues even if this caller's ctx is
		// canceled.
		if err := r.fetch(context.WithoutCancel(ctx)); err != nil {
			return nil, err
		}
		if key, ok := r.find(kid); ok {
			return key, nil
		}
	}
	if r.failed != nil {
		// The fallback set may be older than the key, so it cannot prove that the key does not
		// exist.
		return nil, r.failed
	}
	return nil, ErrUnknownKey
}

func (r *RemoteKeys) find(kid string) (ed25519.PublicKey, bool) {
	set := r.set.Load()
	if set == nil {
		return nil, false
	}
	key, ok := (*set)[kid]
	return key, ok
}

// fetch gets the set from the URL, or from Fallback if that fails. The caller must have received
// the value from fetching.
func (r *RemoteKeys) fetch(ctx context.Context) error {
	defer func() { r.tried = time.Now() }()
	var set StaticKeys
	set, r.failed = r.fetchURL(ctx)
	if r.failed == nil {
		r.set.Store(&set)
		return nil
	}
	set, err := r.fallback(ctx)
	if err != nil {
		return errors.Join(r.failed, err)
	}
	r.cfg.Logger.WarnContext(ctx, "key set read from the database", "err", r.failed)
	r.set.Store(&set)
	return nil
}

func (r *RemoteKeys) fetchURL(ctx context.Context) (StaticKeys, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.cfg.URL, nil)
	if err != nil {
		return nil, errors.New("JWKS_URL: is not a valid URL") // err quotes it
	}
	resp, err := r.cfg.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch key set: %w", config.WithoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }() // the body was only read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch key set: %s returned %s", config.PublicURL(r.cfg.URL), resp.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxSet))
	if err != nil {
		return nil, fmt.Errorf("fetch key set: %w", err)
	}
	return DecodeJWKS(raw)
}

func (r *RemoteKeys) fallback(ctx context.Context) (StaticKeys, error) {
	if r.cfg.Fallback == nil {
		return nil, errors.New("there is no fallback key set")
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	return r.cfg.Fallback(ctx)
}

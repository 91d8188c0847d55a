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

	"parley.chat/internal/config"
)

// maxSet bounds the key set that is read.
const maxSet = 64 << 10

// RemoteConfig configures RemoteKeys. A zero optional field means its default.
type RemoteConfig struct {
	URL string // required: of the key set
	// Kept returns the set that the issuer has left where only the issuer can write, for when the URL does not
	// answer. Nil: there is no such place.
	Kept    func(context.Context) (StaticKeys, error)
	Client  *http.Client  // default: one of its own
	Timeout time.Duration // default 3s, for the fetch and for Kept each
	Refresh time.Duration // default 5m: how long a key that was retired may live on here
	Retry   time.Duration // default 2s: an unknown kid makes no two fetches within it
	Logger  *slog.Logger  // default slog.Default()
}

// RemoteKeys is the key set behind a URL. It is fetched at the first need, again when a token names a
// kid that it lacks (so a rotation needs no restart), and every Refresh while Run runs. While the URL
// does not answer, the set that Kept returns takes its place.
type RemoteKeys struct {
	cfg RemoteConfig
	// turn holds one token, whose taker may fetch, and use tried and failed. It is a channel so that
	// those who wait for a fetch can give up.
	turn   chan struct{}
	tried  time.Time // of the last fetch
	failed error     // why the last fetch did not reach the URL

	set atomic.Pointer[StaticKeys] // stored by fetch
}

// NewRemoteKeys returns the key set behind cfg.URL. It does no I/O.
func NewRemoteKeys(cfg RemoteConfig) *RemoteKeys {
	cfg.Timeout = cmp.Or(cfg.Timeout, 3*time.Second)
	cfg.Refresh, cfg.Retry = cmp.Or(cfg.Refresh, 5*time.Minute), cmp.Or(cfg.Retry, 2*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if cfg.Client == nil {
		// Its connections end with the response: one a few minutes is not worth keeping.
		cfg.Client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}
	}
	r := &RemoteKeys{cfg: cfg, turn: make(chan struct{}, 1)}
	r.turn <- struct{}{}
	return r
}

// Run keeps the set fresh until ctx is done. Without it keys are fetched all the same, but one that
// was retired is not forgotten.
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
		case <-r.turn:
			if err := r.fetch(ctx); err != nil {
				r.cfg.Logger.WarnContext(ctx, "key set not refreshed", "err", err)
			}
			r.turn <- struct{}{}
		}
	}
}

// Key finds a key. It blocks for the fetch at most, and then only for a kid that it does not have.
func (r *RemoteKeys) Key(ctx context.Context, kid string) (ed25519.PublicKey, error) {
	if key, ok := r.find(kid); ok {
		return key, nil
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the key set: %w", ctx.Err())
	case <-r.turn:
	}
	defer func() { r.turn <- struct{}{} }()
	if key, ok := r.find(kid); ok {
		return key, nil // another caller has fetched it meanwhile
	}
	if time.Since(r.tried) >= r.cfg.Retry {
		// The fetch is for all who wait: it goes on when this caller has gone.
		if err := r.fetch(context.WithoutCancel(ctx)); err != nil {
			return nil, err
		}
		if key, ok := r.find(kid); ok {
			return key, nil
		}
	}
	if r.failed != nil {
		// The kept set may be older than the kid: nobody can say that there is no such key.
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

// fetch gets the set from the URL, else the kept one. The caller has the turn.
func (r *RemoteKeys) fetch(ctx context.Context) error {
	defer func() { r.tried = time.Now() }()
	var set StaticKeys
	set, r.failed = r.fetchURL(ctx)
	if r.failed == nil {
		r.set.Store(&set)
		return nil
	}
	set, err := r.kept(ctx)
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
	defer func() { _ = resp.Body.Close() }() // only read from
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch key set: %s answers %s", config.PublicURL(r.cfg.URL), resp.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxSet))
	if err != nil {
		return nil, fmt.Errorf("fetch key set: %w", err)
	}
	return DecodeJWKS(raw)
}

func (r *RemoteKeys) kept(ctx context.Context) (StaticKeys, error) {
	if r.cfg.Kept == nil {
		return nil, errors.New("the key set is kept nowhere else")
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	return r.cfg.Kept(ctx)
}

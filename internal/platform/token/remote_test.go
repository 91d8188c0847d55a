package token_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley.chat/internal/platform/token"
)

// server serves a key set that a test may change or remove.
type server struct {
	*httptest.Server
	set   atomic.Pointer[token.StaticKeys] // nil: 503
	calls atomic.Int64
}

func newServer(t *testing.T, keys token.StaticKeys) *server {
	s := &server{}
	s.set.Store(&keys)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.calls.Add(1)
		set := s.set.Load()
		if set == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(token.EncodeJWKS(*set)) // the client reports an error
	}))
	t.Cleanup(s.Close)
	return s
}

func key(t *testing.T, id string) token.SigningKey {
	t.Helper()
	k, err := token.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	k.ID = id
	return k
}

func TestRemoteKeys_rotationNeedsNoRestart(t *testing.T) {
	t.Parallel()
	a, b := key(t, "a"), key(t, "b")
	s := newServer(t, token.StaticKeys{"a": a.Public()})
	r := token.NewRemoteKeys(token.RemoteConfig{URL: s.URL, Retry: time.Nanosecond})
	for range 3 {
		if got, err := r.Key(t.Context(), "a"); err != nil || !got.Equal(a.Public()) {
			t.Fatalf("Key(a) = %v, %v", got, err)
		}
	}
	if n := s.calls.Load(); n != 1 {
		t.Errorf("%d fetches for a known key, want 1", n)
	}
	if _, err := r.Key(t.Context(), "b"); !errors.Is(err, token.ErrUnknownKey) {
		t.Errorf("Key(b) = %v, want ErrUnknownKey", err)
	}
	s.set.Store(&token.StaticKeys{"a": a.Public(), "b": b.Public()})
	if got, err := r.Key(t.Context(), "b"); err != nil || !got.Equal(b.Public()) {
		t.Errorf("after the rotation Key(b) = %v, %v", got, err)
	}
}

func TestRemoteKeys_unknownKidsAreLimited(t *testing.T) {
	t.Parallel()
	s := newServer(t, token.StaticKeys{"a": key(t, "a").Public()})
	r := token.NewRemoteKeys(token.RemoteConfig{URL: s.URL, Retry: time.Hour})
	for range 100 {
		if _, err := r.Key(t.Context(), "bogus"); !errors.Is(err, token.ErrUnknownKey) {
			t.Fatalf("Key(bogus) = %v, want ErrUnknownKey", err)
		}
	}
	if n := s.calls.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

// TestRemoteKeys_fallback checks that the fallback set is used while the URL does not respond.
func TestRemoteKeys_fallback(t *testing.T) {
	t.Parallel()
	a := key(t, "a")
	s := newServer(t, nil)
	s.set.Store(nil)
	var away error
	r := token.NewRemoteKeys(token.RemoteConfig{URL: s.URL, Retry: time.Nanosecond, Fallback: func(context.Context) (token.StaticKeys, error) {
		return token.StaticKeys{"a": a.Public()}, away
	}})
	away = errors.New("connection refused")
	if _, err := r.Key(t.Context(), "a"); !errors.Is(err, away) || errors.Is(err, token.ErrUnknownKey) {
		t.Errorf("with both gone Key(a) = %v, want an error that is not ErrUnknownKey", err)
	}
	away = nil
	if got, err := r.Key(t.Context(), "a"); err != nil || !got.Equal(a.Public()) {
		t.Errorf("with the URL down Key(a) = %v, %v", got, err)
	}
	// A key that is newer than the fallback set may exist, so the error is not ErrUnknownKey.
	if _, err := r.Key(t.Context(), "b"); err == nil || errors.Is(err, token.ErrUnknownKey) {
		t.Errorf("with the URL down Key(b) = %v, want an error that is not ErrUnknownKey", err)
	}
	s.set.Store(&token.StaticKeys{"b": a.Public()})
	if _, err := r.Key(t.Context(), "b"); err != nil {
		t.Errorf("with the URL up again Key(b): %v", err)
	}
}

// TestRemoteKeys_hangingServer checks that a server that accepts connections but never responds
// causes a delay of no more than the timeout.
func TestRemoteKeys_hangingServer(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(s.Close)
	r := token.NewRemoteKeys(token.RemoteConfig{URL: s.URL, Timeout: 50 * time.Millisecond})
	start := time.Now()
	if _, err := r.Key(t.Context(), "a"); err == nil {
		t.Error("no error")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// transport is an http.RoundTripper that calls a function. It is used because a real socket would
// stop the clock of the synctest bubble.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRemoteKeys_RunForgetsRetiredKeys(t *testing.T) {
	t.Parallel()
	a, b := key(t, "a"), key(t, "b")
	synctest.Test(t, func(t *testing.T) {
		var set atomic.Pointer[token.StaticKeys]
		set.Store(&token.StaticKeys{"a": a.Public()})
		r := token.NewRemoteKeys(token.RemoteConfig{URL: "http://chat", Client: &http.Client{
			Transport: transport(func(*http.Request) (*http.Response, error) {
				w := httptest.NewRecorder()
				_, _ = w.Write(token.EncodeJWKS(*set.Load())) // cannot fail
				return w.Result(), nil
			}),
		}})
		if _, err := r.Key(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- r.Run(t.Context()) }()
		synctest.Wait()
		set.Store(&token.StaticKeys{"b": b.Public()})
		time.Sleep(5*time.Minute + time.Second) // on the bubble's clock
		synctest.Wait()
		if _, err := r.Key(t.Context(), "a"); !errors.Is(err, token.ErrUnknownKey) {
			t.Errorf("a retired key: %v, want ErrUnknownKey", err)
		}
	})
}

package token

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// SigningKey is a private key with its id.
type SigningKey struct {
	ID      string
	Private ed25519.PrivateKey
}

// kidTime is the layout of the time at the start of a kid.
const kidTime = "20060102T150405Z"

// NewSigningKey generates a key. Its id starts with the current time, so that ids sort by age.
func NewSigningKey() (SigningKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return SigningKey{}, fmt.Errorf("make signing key: %w", err)
	}
	id := time.Now().UTC().Format(kidTime) + "-" + hex.EncodeToString(public[:4])
	return SigningKey{ID: id, Private: private}, nil
}

// Signing returns k itself.
func (k SigningKey) Signing() SigningKey { return k }

// Public returns the public half.
func (k SigningKey) Public() ed25519.PublicKey { return k.Private.Public().(ed25519.PublicKey) }

// StaticKeys is a fixed set of public keys by id.
type StaticKeys map[string]ed25519.PublicKey

// Key returns the key with id kid.
func (s StaticKeys) Key(_ context.Context, kid string) (ed25519.PublicKey, error) {
	if key, ok := s[kid]; ok {
		return key, nil
	}
	return nil, ErrUnknownKey
}

// reloadInterval limits how often an unknown kid makes Keys read its folder, because anyone can
// make up a kid.
const reloadInterval = 2 * time.Second

// Settle is how long a new key is used only to verify tokens, before it is also used to sign them.
// Each process reads the folder once a minute, and therefore publishes the new key within Settle. A
// gateway can then get the key of any token that it receives.
const Settle = 3 * time.Minute

// Keys is a folder of private keys, each in a file <kid>.pem (PKCS#8). All of them are used to
// verify tokens. Tokens are signed with the last key, by name, that is older than Settle. If there
// is none, the first key is used. Rotate adds a newer key file. Prune deletes a key file once all
// tokens signed with the key have expired.
type Keys struct {
	dir string
	now func() time.Time

	mu     sync.Mutex // guards the fields below; locked while the folder is being read
	loaded time.Time
	all    []SigningKey // by name
	public StaticKeys
}

// LoadKeys reads the keys in dir. If there is no key, it creates dir and a first key. If several
// processes call it at the same time, they all use the same first key.
func LoadKeys(dir string) (*Keys, error) {
	k := &Keys{dir: dir, now: time.Now}
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.loadLocked()
	if errors.Is(err, errNoKeys) {
		if err = createFirst(dir); err == nil {
			err = k.loadLocked()
		}
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// Reload reads the folder again. If it fails, the keys are unchanged.
func (k *Keys) Reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.loadLocked()
}

// Signing returns the key that currently signs.
func (k *Keys) Signing() SigningKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all[signing(k.all, k.now())]
}

// Key returns the key with id kid. If kid is unknown, Key reads the folder again, because another
// process may have just added the key.
func (k *Keys) Key(ctx context.Context, kid string) (ed25519.PublicKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, known := k.public[kid]; !known && time.Since(k.loaded) > reloadInterval {
		if err := k.loadLocked(); err != nil {
			return nil, err
		}
	}
	return k.public.Key(ctx, kid)
}

// Public returns all public keys.
func (k *Keys) Public() StaticKeys {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.public)
}

var errNoKeys = errors.New("no <kid>.pem in it")

func (k *Keys) loadLocked() error {
	k.loaded = time.Now()
	files, err := os.ReadDir(k.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read the keys: %w", err)
	}
	var all []SigningKey
	public := StaticKeys{}
	for _, f := range files { // sorted by name
		kid, isKey := strings.CutSuffix(f.Name(), ".pem")
		if !isKey || kid == "" || strings.HasPrefix(kid, ".") || f.IsDir() {
			continue
		}
		private, err := readKey(filepath.Join(k.dir, f.Name()))
		if err != nil {
			return err
		}
		key := SigningKey{ID: kid, Private: private}
		all = append(all, key)
		public[kid] = key.Public()
	}
	if len(public) == 0 {
		return fmt.Errorf("keys in %s: %w", k.dir, errNoKeys)
	}
	k.all, k.public = all, public
	return nil
}

func readKey(path string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("key %s: not a PEM file of a PKCS#8 private key", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key %s: is a %T, not an Ed25519 key", path, parsed)
	}
	return key, nil
}

// createFirst creates a key in dir, unless another process has already created one.
func createFirst(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create the folder of keys: %w", err)
	}
	unlock, err := lock(filepath.Join(dir, ".lock"))
	if err != nil {
		return fmt.Errorf("lock the folder of keys: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	there, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil {
		return fmt.Errorf("look for keys in %s: %w", dir, err)
	}
	if slices.ContainsFunc(there, func(p string) bool { return !strings.HasPrefix(filepath.Base(p), ".") }) {
		return nil
	}
	key, err := NewSigningKey()
	if err != nil {
		return err
	}
	return WriteKey(dir, key)
}

// WriteKey writes a key to dir as <kid>.pem, readable only by its owner. The write is atomic.
func WriteKey(dir string, key SigningKey) (err error) {
	der, err := x509.MarshalPKCS8PrivateKey(key.Private)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	f, err := os.CreateTemp(dir, ".new-*") // with mode 0600
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // already renamed on success
	err = pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, key.ID+".pem")); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	return nil
}

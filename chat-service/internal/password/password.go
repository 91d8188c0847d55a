// Package password hashes passwords with argon2id and refuses common passwords.
//
// A hash deliberately needs a lot of memory and CPU time, so a Hasher computes only a limited
// number at the same time. A limited number of callers can wait, and scheduling is fair between
// their networks. Further callers are refused immediately. Hasher is safe for concurrent use and
// starts no goroutines.
//
// Passwords are normalized before hashing, so it does not matter how a keyboard composes
// characters; see names.Password.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"

	"parley.chat/internal/platform/names"
)

const (
	saltBytes = 16
	keyBytes  = 32
	// maxMemory and maxTime limit the parameters of a stored hash, which come from the database and
	// must not be trusted.
	maxMemory = 1 << 20 // KiB
	maxTime   = 64
)

// Config configures a Hasher. If a field is zero, its default is used.
type Config struct {
	MemoryMiB   int // default 19
	Time        int // default 2 passes
	Threads     int // default 1
	Concurrency int // maximum number of hashes computed at the same time; default GOMAXPROCS
	Queue       int // maximum number of waiting callers; default 64
}

type params struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
}

// Hasher computes and verifies password hashes.
type Hasher struct {
	params params
	queue  queue
	dummy  string
}

// New returns a Hasher. It computes one hash, which VerifyNobody uses.
func New(cfg Config) (*Hasher, error) {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&cfg.MemoryMiB, 19)
	def(&cfg.Time, 2)
	def(&cfg.Threads, 1)
	def(&cfg.Concurrency, runtime.GOMAXPROCS(0))
	def(&cfg.Queue, 64)
	if cfg.MemoryMiB < 1 || cfg.MemoryMiB > maxMemory>>10 || cfg.Time < 1 || cfg.Time > maxTime || cfg.Threads < 1 || cfg.Threads > 255 {
		return nil, fmt.Errorf("argon2 with %d MiB, %d passes, %d threads is out of range", cfg.MemoryMiB, cfg.Time, cfg.Threads)
	}
	if cfg.Concurrency < 1 || cfg.Queue < 1 {
		return nil, fmt.Errorf("%d concurrent hashes with a queue of %d is out of range", cfg.Concurrency, cfg.Queue)
	}
	h := &Hasher{
		params: params{memory: uint32(cfg.MemoryMiB) << 10, time: uint32(cfg.Time), threads: uint8(cfg.Threads)},
		queue:  queue{free: cfg.Concurrency, room: cfg.Queue},
	}
	var err error
	h.dummy, err = h.Hash(context.Background(), Source{}, rand.Text())
	return h, err
}

// Hash returns the PHC string for password. It returns an Overloaded error if too many callers are
// waiting, and ctx's error if ctx is canceled.
func (h *Hasher) Hash(ctx context.Context, from Source, password string) (string, error) {
	if err := h.queue.enter(ctx, from); err != nil {
		return "", err
	}
	defer h.queue.leave()
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // cannot fail since Go 1.24
	p := h.params
	key := argon2.IDKey([]byte(names.Password(password)), salt, p.time, p.memory, p.threads, keyBytes)
	return encode(p, salt, key), nil
}

// Verify reports whether password matches hash. outdated means that hash was computed with other
// parameters or from a password that was not normalized. The caller may then renew it.
func (h *Hasher) Verify(ctx context.Context, from Source, password, hash string) (ok, outdated bool, err error) {
	p, salt, key, err := decode(hash)
	if err != nil {
		return false, false, err
	}
	if err := h.queue.enter(ctx, from); err != nil {
		return false, false, err
	}
	defer h.queue.leave()
	for i, form := range names.PasswordForms(password) {
		got := argon2.IDKey([]byte(form), salt, p.time, p.memory, p.threads, uint32(len(key)))
		if subtle.ConstantTimeCompare(got, key) == 1 {
			return true, i > 0 || p != h.params, nil
		}
	}
	return false, false, nil
}

// VerifyNobody takes as long as Verify. It is called for a login name that does not exist, so that
// the response time does not reveal that the name is unknown.
func (h *Hasher) VerifyNobody(ctx context.Context, from Source, password string) error {
	_, _, err := h.Verify(ctx, from, password, h.dummy)
	return err
}

func encode(p params, salt, key []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads, b64(salt), b64(key))
}

func decode(hash string) (p params, salt, key []byte, err error) {
	f := strings.Split(hash, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" || f[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return params{}, nil, nil, errors.New("decode password hash: not an argon2id PHC string")
	}
	if _, err := fmt.Sscanf(f[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil {
		return params{}, nil, nil, fmt.Errorf("decode password hash: parameters: %w", err)
	}
	salt, errSalt := base64.RawStdEncoding.DecodeString(f[4])
	key, errKey := base64.RawStdEncoding.DecodeString(f[5])
	if err := errors.Join(errSalt, errKey); err != nil {
		return params{}, nil, nil, fmt.Errorf("decode password hash: %w", err)
	}
	if p.memory < 8 || p.memory > maxMemory || p.time < 1 || p.time > maxTime || p.threads < 1 || len(salt) < 8 || len(key) < 16 || len(key) > 128 {
		return params{}, nil, nil, errors.New("decode password hash: parameters out of range")
	}
	return p, salt, key, nil
}

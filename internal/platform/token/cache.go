package token

import (
	"crypto/ed25519"
	"crypto/sha256"
	"sync"
)

// maxGeneration is the maximum number of tokens in each of the cache's two generations.
const maxGeneration = 1536

// cache holds tokens whose signatures have been verified. Verifying a signature takes about 100 µs,
// as long as the rest of a request for a history page. A client uses the same token for minutes,
// and many clients may reconnect at the same time. The cache key is the token's SHA-256 hash, so
// the cache itself contains no tokens.
//
// Checks whose result can change are repeated for each use: whether the signing key is still valid
// and whether the token has expired.
type cache struct {
	mu    sync.Mutex
	newer map[[sha256.Size]byte]verified
	older map[[sha256.Size]byte]verified
}

type verified struct {
	kid    string
	key    ed25519.PublicKey
	claims Claims
}

func (k *cache) get(sum [sha256.Size]byte) (verified, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, ok := k.newer[sum]
	if !ok {
		if v, ok = k.older[sum]; ok {
			k.putLocked(sum, v) // the token is still in use, so move it to the newer generation
		}
	}
	return v, ok
}

func (k *cache) put(sum [sha256.Size]byte, v verified) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.putLocked(sum, v)
}

func (k *cache) putLocked(sum [sha256.Size]byte, v verified) {
	if len(k.newer) >= maxGeneration {
		k.older, k.newer = k.newer, nil
	}
	if k.newer == nil {
		k.newer = make(map[[sha256.Size]byte]verified)
	}
	k.newer[sum] = v
}

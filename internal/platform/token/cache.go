package token

import (
	"crypto/ed25519"
	"crypto/sha256"
	"sync"
)

// maxGeneration is the maximum size of each of the two generations of cached tokens.
const maxGeneration = 1536

// cache holds tokens whose signatures have been verified. Verifying a signature takes about 100 µs,
// as long as all other work for a request for a history page. A client sends the same token for
// minutes, or reconnects with it at the same time as many others. The key is the token's SHA-256,
// so that a memory dump contains no token.
//
// The cache does not cover checks whose result may change: whether the signing key is still valid,
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
			k.putLocked(sum, v) // in use, so keep it in the newer generation
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

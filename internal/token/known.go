package token

import (
	"crypto/ed25519"
	"crypto/sha256"
	"sync"
)

// knownMost bounds each of the two generations of tokens that are remembered.
const knownMost = 1536

// known remembers tokens whose signature was good. To check one costs some 100 µs, as much as all else
// that a request for a page of history does, and a client brings the same token for minutes, or comes
// back with it in a storm. A token is remembered by its SHA-256, so that no memory dump holds one.
//
// What may change is not remembered: whether its key still counts, and the time.
type known struct {
	mu     sync.Mutex
	newer  map[[sha256.Size]byte]verified
	before map[[sha256.Size]byte]verified
}

type verified struct {
	kid    string
	key    ed25519.PublicKey
	claims Claims
}

func (k *known) get(sum [sha256.Size]byte) (verified, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, ok := k.newer[sum]
	if !ok {
		if v, ok = k.before[sum]; ok {
			k.putLocked(sum, v) // is in use: it outlives its generation
		}
	}
	return v, ok
}

func (k *known) put(sum [sha256.Size]byte, v verified) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.putLocked(sum, v)
}

func (k *known) putLocked(sum [sha256.Size]byte, v verified) {
	if len(k.newer) >= knownMost {
		k.before, k.newer = k.newer, nil
	}
	if k.newer == nil {
		k.newer = make(map[[sha256.Size]byte]verified)
	}
	k.newer[sum] = v
}

package token

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// State describes what a key in the folder is currently used for.
type State string

// The states, in the order of a key's lifetime.
const (
	Settling State = "settling" // only verifies tokens until Until; also signs after that
	Signs    State = "signs"    // signs and verifies
	Verifies State = "verifies" // verifies tokens that it signed earlier, until Until
	Outlived State = "outlived" // every token that it signed has expired; Prune deletes it
)

// reloadDelay is how long a process may continue to sign with the previous key after a new key has
// become a signing key. A process learns of a new key when it next reads the folder.
const reloadDelay = 2 * time.Minute

// KeyInfo describes a key in the folder.
type KeyInfo struct {
	ID    string
	State State
	Until time.Time // zero if not limited
}

// createdAt returns the creation time that a key's kid contains. It returns the zero time if the
// kid does not contain a time.
func createdAt(kid string) time.Time {
	stamp, _, _ := strings.Cut(kid, "-")
	at, err := time.Parse(kidTime, stamp)
	if err != nil {
		return time.Time{}
	}
	return at
}

// signing returns the index of the key to sign with: the last key that is older than Settle, or
// else the first key. keys must not be empty.
func signing(keys []SigningKey, now time.Time) int {
	for i := len(keys) - 1; i > 0; i-- {
		if !createdAt(keys[i].ID).Add(Settle).After(now) {
			return i
		}
	}
	return 0
}

// List describes the keys in dir, oldest first. ttl is the lifetime of access tokens.
func List(dir string, ttl time.Duration) ([]KeyInfo, error) {
	keys, err := LoadKeys(dir)
	if err != nil {
		return nil, err
	}
	return keys.infos(ttl), nil
}

func (k *Keys) infos(ttl time.Duration) []KeyInfo {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	signs := signing(k.all, now)
	list := make([]KeyInfo, len(k.all))
	for i, key := range k.all {
		list[i] = KeyInfo{ID: key.ID}
		switch {
		case i > signs:
			list[i].State, list[i].Until = Settling, createdAt(key.ID).Add(Settle)
		case i == signs:
			list[i].State = Signs
		default:
			// Processes may sign with this key until the next key is older than Settle and each
			// process has read the folder again.
			list[i].State, list[i].Until = Verifies, createdAt(k.all[i+1].ID).Add(Settle+reloadDelay+ttl+leeway)
			if !list[i].Until.After(now) {
				list[i].State = Outlived
			}
		}
	}
	return list
}

// Rotate adds a new key to dir. Tokens are signed with it once it is older than Settle.
func Rotate(dir string) (SigningKey, error) {
	keys, err := LoadKeys(dir) // do not add a key if the folder cannot be read
	if err != nil {
		return SigningKey{}, err
	}
	key, err := NewSigningKey()
	if err != nil {
		return SigningKey{}, err
	}
	newest := keys.all[len(keys.all)-1].ID
	// The new key must sort after the newest existing key. That key may have been created in the
	// same second, or on a machine whose clock is ahead.
	if key.ID <= newest {
		at := createdAt(newest)
		if at.IsZero() {
			return SigningKey{}, fmt.Errorf("key %s sorts after every new one: rename its file", newest)
		}
		_, random, _ := strings.Cut(key.ID, "-")
		key.ID = at.Add(time.Second).Format(kidTime) + "-" + random
	}
	return key, WriteKey(dir, key)
}

// Prune deletes the keys whose tokens have all expired (state Outlived), and returns their ids.
func Prune(dir string, ttl time.Duration) ([]string, error) {
	keys, err := LoadKeys(dir)
	if err != nil {
		return nil, err
	}
	return keys.prune(ttl)
}

func (k *Keys) prune(ttl time.Duration) ([]string, error) {
	var gone []string
	for _, key := range k.infos(ttl) {
		if key.State != Outlived {
			continue
		}
		if err := os.Remove(filepath.Join(k.dir, key.ID+".pem")); err != nil {
			return gone, fmt.Errorf("delete key: %w", err)
		}
		gone = append(gone, key.ID)
	}
	return gone, nil
}

package token

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// State is what a key of a folder is good for.
type State string

// The states, in the order of a key's life.
const (
	Settling State = "settling" // verifies, and will sign after Until
	Signs    State = "signs"    // signs and verifies
	Verifies State = "verifies" // verifies tokens that it signed before, until Until
	Outlived State = "outlived" // no token that it signed is good any more: Prune takes it
)

// noticed is how long a process may go on with a key after the next has settled: it had not read the
// folder when that one came.
const noticed = 2 * time.Minute

// KeyInfo tells of a key of a folder.
type KeyInfo struct {
	ID    string
	State State
	Until time.Time // zero when it has no end
}

// born returns when a key was made, by its kid; zero for a kid that does not say.
func born(kid string) time.Time {
	stamp, _, _ := strings.Cut(kid, "-")
	at, err := time.Parse(kidTime, stamp)
	if err != nil {
		return time.Time{}
	}
	return at
}

// signing returns which of keys, of which there is at least one, signs: the last that has settled.
func signing(keys []SigningKey, now time.Time) int {
	for i := len(keys) - 1; i > 0; i-- {
		if !born(keys[i].ID).Add(Settle).After(now) {
			return i
		}
	}
	return 0
}

// List tells of the keys in dir, the oldest first. ttl is how long access tokens are good for.
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
			list[i].State, list[i].Until = Settling, born(key.ID).Add(Settle)
		case i == signs:
			list[i].State = Signs
		default:
			// The next key took over once it had settled, at the latest a reading of the folder later.
			list[i].State, list[i].Until = Verifies, born(k.all[i+1].ID).Add(Settle+noticed+ttl+leeway)
			if !list[i].Until.After(now) {
				list[i].State = Outlived
			}
		}
	}
	return list
}

// Rotate puts a new key into dir, which will sign once it has settled.
func Rotate(dir string) (SigningKey, error) {
	keys, err := LoadKeys(dir) // nothing is added to a folder that cannot be read
	if err != nil {
		return SigningKey{}, err
	}
	key, err := NewSigningKey()
	if err != nil {
		return SigningKey{}, err
	}
	newest := keys.all[len(keys.all)-1].ID
	if key.ID <= newest { // made in the same second, or by a clock that is ahead
		at := born(newest)
		if at.IsZero() {
			return SigningKey{}, fmt.Errorf("key %s sorts after every new one: rename its file", newest)
		}
		_, random, _ := strings.Cut(key.ID, "-")
		key.ID = at.Add(time.Second).Format(kidTime) + "-" + random
	}
	return key, WriteKey(dir, key)
}

// Prune deletes the keys that are outlived, and returns their ids.
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

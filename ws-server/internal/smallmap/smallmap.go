// Package smallmap provides a map that is compact while it has few entries. Up to maxSmall entries
// are kept in a slice. With a single entry, this uses a tenth of the memory of a Go map, which has
// room for at least eight.
package smallmap

import "iter"

// maxSmall is the maximum number of entries for which a linear search is used.
const maxSmall = 8

// Map is a map that stores a few entries compactly. Its zero value is empty. It is not safe for
// concurrent use.
type Map[K comparable, V any] struct {
	small []pair[K, V] // used for up to maxSmall entries
	large map[K]V
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

func (m *Map[K, V]) at(key K) int {
	for i := range m.small {
		if m.small[i].key == key {
			return i
		}
	}
	return -1
}

// Get returns the value of a key and reports whether the key is present.
func (m *Map[K, V]) Get(key K) (value V, found bool) {
	if m.large != nil {
		value, found = m.large[key]
		return value, found
	}
	if i := m.at(key); i >= 0 {
		return m.small[i].value, true
	}
	return value, false
}

// Set sets the value of a key.
func (m *Map[K, V]) Set(key K, value V) {
	if m.large != nil {
		m.large[key] = value
		return
	}
	if i := m.at(key); i >= 0 {
		m.small[i].value = value
		return
	}
	if len(m.small) < maxSmall {
		m.small = append(m.small, pair[K, V]{key, value})
		return
	}
	m.large = make(map[K]V, 2*maxSmall)
	for _, p := range m.small {
		m.large[p.key] = p.value
	}
	m.large[key], m.small = value, nil
}

// Delete removes a key if it is present.
func (m *Map[K, V]) Delete(key K) {
	if m.large != nil {
		delete(m.large, key)
		return
	}
	i := m.at(key)
	if i < 0 {
		return
	}
	last := len(m.small) - 1
	m.small[i] = m.small[last]
	m.small[last] = pair[K, V]{}
	m.small = m.small[:last]
}

// Len returns the number of entries.
func (m *Map[K, V]) Len() int { return len(m.small) + len(m.large) }

// All yields the entries in no particular order. The map must not be changed during the iteration.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, p := range m.small {
			if !yield(p.key, p.value) {
				return
			}
		}
		for k, v := range m.large {
			if !yield(k, v) {
				return
			}
		}
	}
}

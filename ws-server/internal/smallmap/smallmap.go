// Package smallmap is a map for what most connections have few of. Up to maxFew entries lie in a slice, which for one
// entry takes a tenth of what Go's map takes: its smallest has room for eight.
package smallmap

import "iter"

// maxFew is how many entries are looked through one by one.
const maxFew = 8

// Map is a map. Its zero value is empty. It is not safe for concurrent use.
type Map[K comparable, V any] struct {
	few  []pair[K, V] // while there are up to maxFew
	many map[K]V
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

func (m *Map[K, V]) at(key K) int {
	for i := range m.few {
		if m.few[i].key == key {
			return i
		}
	}
	return -1
}

// Get returns the value of a key, and whether there is one.
func (m *Map[K, V]) Get(key K) (value V, found bool) {
	if m.many != nil {
		value, found = m.many[key]
		return value, found
	}
	if i := m.at(key); i >= 0 {
		return m.few[i].value, true
	}
	return value, false
}

// Set sets the value of a key.
func (m *Map[K, V]) Set(key K, value V) {
	if m.many != nil {
		m.many[key] = value
		return
	}
	if i := m.at(key); i >= 0 {
		m.few[i].value = value
		return
	}
	if len(m.few) < maxFew {
		m.few = append(m.few, pair[K, V]{key, value})
		return
	}
	m.many = make(map[K]V, 2*maxFew)
	for _, p := range m.few {
		m.many[p.key] = p.value
	}
	m.many[key], m.few = value, nil
}

// Delete deletes a key, if it is there.
func (m *Map[K, V]) Delete(key K) {
	if m.many != nil {
		delete(m.many, key)
		return
	}
	i := m.at(key)
	if i < 0 {
		return
	}
	last := len(m.few) - 1
	m.few[i] = m.few[last]
	m.few[last] = pair[K, V]{}
	m.few = m.few[:last]
}

// Len returns the number of entries.
func (m *Map[K, V]) Len() int { return len(m.few) + len(m.many) }

// All yields the entries in no particular order. The map must not be changed before it has ended.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, p := range m.few {
			if !yield(p.key, p.value) {
				return
			}
		}
		for k, v := range m.many {
			if !yield(k, v) {
				return
			}
		}
	}
}

package httpapi

import (
	"bytes"
	"strconv"
)

// halves adds the fields of value, which is what body says, that have half of a surrogate pair: no text can
// hold one, so that it would be stored as U+FFFD, as something else than was sent.
func (f *fields) halves(body []byte, value any) {
	marked := markHalves(body)
	if marked == nil {
		return
	}
	if other, err := parse(marked); err == nil {
		f.differing("", value, other)
	}
}

// differing adds the texts in which two values of one form differ.
func (f *fields) differing(path string, value, other any) {
	switch v := value.(type) {
	case string:
		if v != other {
			f.add(path, "has half of a surrogate pair, which is no character")
		}
	case map[string]any:
		others, _ := other.(map[string]any)
		for name, member := range v {
			if o, ok := others[name]; ok { // or its own name has a half, and is no field's
				f.differing(join(path, name), member, o)
			}
		}
	case []any:
		others, _ := other.([]any)
		for i, item := range v {
			f.differing(join(path, strconv.Itoa(i)), item, others[i])
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// markHalves returns body with another escape for each of half a surrogate pair, or nil when there is none.
func markHalves(body []byte) (marked []byte) {
	for i := 0; i < len(body); {
		next := bytes.IndexByte(body[i:], '\\')
		if next < 0 {
			break
		}
		i += next
		unit := escaped(body[i:])
		switch {
		case unit >= 0xd800 && unit < 0xdc00 && isLow(escaped(body[i+6:])):
			i += 12
		case unit >= 0xd800 && unit < 0xe000:
			if marked == nil {
				marked = bytes.Clone(body)
			}
			copy(marked[i:], `\u0000`)
			i += 6
		default:
			i += 2
		}
	}
	return marked
}

func isLow(unit int64) bool { return unit >= 0xdc00 && unit < 0xe000 }

// escaped returns the code unit of the \u escape that b begins with, or -1.
func escaped(b []byte) int64 {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return int64(unit)
}

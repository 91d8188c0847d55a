package text

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"parley.chat/shared-contracts/apierr"
)

// ErrHalf returns the error for a field that contains half of a surrogate pair; see Halves.
func ErrHalf() error {
	return apierr.Violates(apierr.FieldCharacters, "contains half of a surrogate pair, which is not a character")
}

// Halves returns the fields of a JSON document that contain an escape for half of a surrogate pair,
// as sorted, dotted paths. Half of a pair is not valid text. encoding/json silently replaces it
// with U+FFFD, so the stored text would differ from the sent text. If the document contains no
// backslash, Halves does not decode it.
func Halves(document []byte) []string {
	marked := markHalves(document)
	if marked == nil {
		return nil
	}
	value, errValue := decode(document)
	other, errOther := decode(marked)
	if errValue != nil || errOther != nil {
		return nil // not JSON; the caller reports that
	}
	paths := differing(nil, "", value, other)
	slices.Sort(paths)
	return paths
}

// decode decodes the first value in a document. It preserves the exact value of all numbers.
func decode(document []byte) (value any, err error) {
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.UseNumber()
	err = dec.Decode(&value)
	return value, err
}

// differing appends the paths of the strings that differ between two JSON values with the same
// structure.
func differing(paths []string, path string, value, other any) []string {
	switch v := value.(type) {
	case string:
		if v != other {
			return append(paths, path)
		}
	case map[string]any:
		others, _ := other.(map[string]any)
		for name, member := range v {
			if o, ok := others[name]; ok { // skip names with unpaired surrogates: they are unknown
				paths = differing(paths, join(path, name), member, o)
			}
		}
	case []any:
		others, _ := other.([]any)
		for i, item := range v {
			paths = differing(paths, join(path, strconv.Itoa(i)), item, others[i])
		}
	}
	return paths
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// markHalves returns a copy of document in which every escape of an unpaired surrogate, such as
// \ud83d, is replaced with \u0000. It returns nil if document contains no such escape.
func markHalves(document []byte) (marked []byte) {
	for i := 0; i < len(document); {
		next := bytes.IndexByte(document[i:], '\\')
		if next < 0 {
			break
		}
		i += next
		unit := escaped(document[i:])
		switch {
		case unit >= 0xd800 && unit < 0xdc00 && isLow(escaped(document[i+6:])):
			i += 12
		case unit >= 0xd800 && unit < 0xe000:
			if marked == nil {
				marked = bytes.Clone(document)
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

// escaped returns the UTF-16 code unit of the \u escape at the start of b, or -1 if b does not
// start with one.
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

package text

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// HalfMessage says what is wrong with a field that Halves returns.
const HalfMessage = "contains half of a surrogate pair, which is not a character"

// Halves returns the fields of a JSON document that hold an escape for half of a surrogate pair, as paths with
// dots, sorted. No text can hold such a half: encoding/json would replace it by U+FFFD without a word, and what
// is stored would differ from what was sent. A document without backslashes costs one scan.
func Halves(document []byte) []string {
	marked := markHalves(document)
	if marked == nil {
		return nil
	}
	value, errValue := decode(document)
	other, errOther := decode(marked)
	if errValue != nil || errOther != nil {
		return nil // not JSON, which is for the caller to say
	}
	paths := differing(nil, "", value, other)
	slices.Sort(paths)
	return paths
}

// decode reads the first value of a document, with numbers of any size.
func decode(document []byte) (value any, err error) {
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.UseNumber()
	err = dec.Decode(&value)
	return value, err
}

// differing appends the paths of the texts in which two values of one form differ.
func differing(paths []string, path string, value, other any) []string {
	switch v := value.(type) {
	case string:
		if v != other {
			return append(paths, path)
		}
	case map[string]any:
		others, _ := other.(map[string]any)
		for name, member := range v {
			if o, ok := others[name]; ok { // or the name itself holds a half, and is not a known field
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

// markHalves returns document with another escape for each half of a surrogate pair, or nil when it has none.
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

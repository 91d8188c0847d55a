package streamreader

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// encode encodes entries as a reply to XREADGROUP.
func encode(entries []Entry) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "*1\r\n*2\r\n$1\r\ns\r\n*%d\r\n", len(entries))
	for _, e := range entries {
		fmt.Fprintf(&b, "*2\r\n$%d\r\n%s\r\n", len(e.ID), e.ID)
		if e.Pairs == nil {
			b.WriteString("*-1\r\n")
			continue
		}
		fmt.Fprintf(&b, "*%d\r\n", len(e.Pairs))
		for _, p := range e.Pairs {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(p), p)
		}
	}
	return b.Bytes()
}

func decode(reply []byte) (got []Entry, err error) {
	s := &Reader{in: bufio.NewReaderSize(bytes.NewReader(reply), 32)}
	n, err := s.reply(func(e Entry) {
		if e.Pairs != nil {
			e.Pairs = append([]string{}, e.Pairs...)
		}
		got = append(got, e)
	})
	if n != len(got) {
		return nil, fmt.Errorf("returned %d, handled %d entries", n, len(got))
	}
	return got, err
}

func TestReply_corrupt(t *testing.T) {
	for _, bad := range []string{
		"", "*", "*1\n", ":1\r\n", "+OK\r\n", "*1\r\n*3\r\n", "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$9999999\r\nx", "*1\r\n*2\r\n$-1\r\n",
		"*1\r\n*2\r\n$1\r\nsss\r\n", "*x\r\n", "*-2\r\n", "*99999999999\r\n", strings.Repeat("*", 100),
	} {
		if got, err := decode([]byte(bad)); err == nil {
			t.Errorf("%.40q: got %v without an error", bad, got)
		}
	}
	if _, err := decode([]byte("-NOGROUP no such key\r\n")); !errors.Is(err, ReplyError("NOGROUP no such key")) {
		t.Errorf("got %v", err)
	}
	if got, err := decode([]byte("*-1\r\n")); err != nil || got != nil {
		t.Errorf("nothing: got %v, %v", got, err)
	}
}

// FuzzReply checks that no input causes a panic, that entries are decoded as they were encoded, and
// that a truncated reply returns the entries before the cut and an error.
func FuzzReply(f *testing.F) {
	f.Add([]byte("*1\r\n*2\r\n$1\r\ns\r\n*0\r\n"), "1-1", "k", "v", 30)
	f.Add([]byte("*-1\r\n"), "1767225600123-0", "", "\r\n$3\r\n", 70)
	f.Fuzz(func(t *testing.T, raw []byte, id, name, value string, cut int) {
		_, _ = decode(raw)
		want := []Entry{{ID: id, Pairs: []string{name, value, value, name}}, {ID: name}, {ID: value, Pairs: []string{}}}
		whole := encode(want)
		got, err := decode(whole)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
		if cut < 0 || cut >= len(whole) {
			return
		}
		got, err = decode(whole[:cut])
		if err == nil || len(got) > 0 && !reflect.DeepEqual(got, want[:len(got)]) {
			t.Fatalf("cut at %d: got %q, %v", cut, got, err)
		}
	})
}

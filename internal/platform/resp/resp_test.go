package resp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"parley.chat/internal/platform/resp"
)

// read returns the values of a stream as strings: the kind, then the fields in brackets.
func read(src io.Reader) (values []string, err error) {
	r := resp.NewReader(src)
	for {
		v, ok, err := r.Buffered()
		if err != nil {
			return values, err
		}
		if ok {
			values = append(values, fmt.Sprintf("%c%q", v.Kind, v.Fields))
			continue
		}
		if err := r.Fill(); err != nil {
			return values, err
		}
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("x"), 100<<10)
	for _, tt := range []struct{ name, stream, want string }{
		{"simple", "+OK\r\n:5\r\n_\r\n#t\r\n,1.5\r\n", `[+["OK"] :["5"] _[""] #["t"] ,["1.5"]]`},
		{"error", "-ERR no\r\n", `[-["ERR no"]]`},
		{"strings", "$2\r\nab\r\n$0\r\n\r\n$-1\r\n$4\r\n\r\n\r\n\r\n", `[$["ab"] $[""] $[""] $["\r\n\r\n"]]`},
		{"nested lists are flattened", "*3\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n*0\r\n", `[*["a" "1" "2"]]`},
		{"map", "%1\r\n+k\r\n+v\r\n", `[%["k" "v"]]`},
		{"push", ">3\r\n$8\r\nsmessage\r\n$1\r\nt\r\n$1\r\nm\r\n", `[>["smessage" "t" "m"]]`},
		{"larger than the buffer", fmt.Sprintf("$%d\r\n%s\r\n+OK\r\n", len(large), large), fmt.Sprintf("[$[%q] +[\"OK\"]]", large)},
	} {
		for name, src := range map[string]io.Reader{"at once": bytes.NewReader([]byte(tt.stream)), "byte by byte": iotest.OneByteReader(bytes.NewReader([]byte(tt.stream)))} {
			got, err := read(src)
			if fmt.Sprint(got) != tt.want || !errors.Is(err, io.EOF) {
				t.Errorf("%s, %s: %.200s, %v; want %.200s and EOF", tt.name, name, got, err, tt.want)
			}
		}
	}
}

func TestReader_refuses(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"hello\r\n", "$x\r\n", "*-2\r\n", "+no carriage return\n", "\r\n", string(bytes.Repeat([]byte("*1\r\n"), 20))} {
		if values, err := read(bytes.NewReader([]byte(stream))); !errors.Is(err, resp.ErrProtocol) {
			t.Errorf("%.20q: %v, %v; want ErrProtocol", stream, values, err)
		}
	}
}

func TestAppendCommand(t *testing.T) {
	t.Parallel()
	b := resp.AppendCommand(nil, "SET", "k", "", "\r\n")
	b = resp.AppendBulkInt(resp.AppendArray(b, 1), -42)
	got, err := read(bytes.NewReader(b))
	if want := `[*["SET" "k" "" "\r\n"] *["-42"]]`; fmt.Sprint(got) != want || !errors.Is(err, io.EOF) {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

package flame_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"parley.chat/loadtest/internal/flame"
)

// profileOf returns a profile with the given stacks and their seconds. A stack starts with its
// outermost function.
func profileOf(t *testing.T, stacks map[string]int64) []byte {
	t.Helper()
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	functions := map[string]*profile.Location{}
	for stack, seconds := range stacks {
		s := &profile.Sample{Value: []int64{1, seconds * 1e9}}
		for name := range strings.SplitSeq(stack, ";") {
			if functions[name] == nil {
				f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: name}
				l := &profile.Location{ID: f.ID, Line: []profile.Line{{Function: f}}}
				p.Function, p.Location, functions[name] = append(p.Function, f), append(p.Location, l), l
			}
			s.Location = append([]*profile.Location{functions[name]}, s.Location...)
		}
		p.Sample = append(p.Sample, s)
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDraw(t *testing.T) {
	svg, err := flame.Draw(profileOf(t, map[string]int64{
		"main.main;parley.chat/x.(*T[...]).run;syscall.write": 3,
		"main.main;parley.chat/x.(*T[...]).run":               1,
		"runtime.mcall;runtime.park<1>":                       4,
	}), "a <title>")
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("not well formed: %v\n%s", err, svg)
		}
	}
	for _, want := range []string{
		"a &lt;title&gt;", "8.0 s of CPU", "<title>main.main: 4.00 s, 50.0%</title>",
		"<title>parley.chat/x.(*T[...]).run: 4.00 s, 50.0%</title>", "<title>syscall.write: 3.00 s, 37.5%</title>", "runtime.park&lt;1&gt;",
	} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("the picture lacks %q:\n%s", want, svg)
		}
	}
}

func TestDraw_notAProfile(t *testing.T) {
	for name, raw := range map[string][]byte{"text": []byte("no"), "no samples": profileOf(t, nil)} {
		if _, err := flame.Draw(raw, ""); err == nil {
			t.Errorf("Draw(%s) does not fail", name)
		}
	}
}

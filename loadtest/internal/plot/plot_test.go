package plot_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"parley.chat/loadtest/internal/plot"
)

func TestSVG(t *testing.T) {
	line := plot.Line{Name: "p99 <all>", X: []float64{10, 50, 100}, Y: []float64{1, 3, 250}}
	svg := plot.SVG(
		plot.Chart{Title: "A & B", X: "load", Y: "ms", Lines: []plot.Line{line}, LogY: true, Notes: []string{"a note"}},
		plot.Chart{Title: "linear", Lines: []plot.Line{line, {Name: "one", X: []float64{20}, Y: []float64{0}, Dashed: true}}, ZeroAt: true},
		plot.Chart{Title: "empty"},
		plot.Chart{Title: "all alike", Lines: []plot.Line{{Name: "flat", X: []float64{1e6, 2e6}, Y: []float64{5, 5}}}, LogX: true},
	)
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("not well formed: %v\n%s", err, svg)
		}
	}
	for _, want := range []string{"A &amp; B", "p99 &lt;all&gt;", ">100<", "nothing was measured", "stroke-dasharray", ">1 M</text>", "a note"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("the picture lacks %q:\n%s", want, svg)
		}
	}
	if strings.Contains(string(svg), "NaN") || strings.Contains(string(svg), "Inf") {
		t.Errorf("a point has no coordinates:\n%s", svg)
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.25: "0.25", 999: "999", 1000: "1 k", 1234567: "1.23 M", 2e9: "2 bn"} {
		if got := plot.Short(v); got != want {
			t.Errorf("Short(%v) = %q, want %q", v, got, want)
		}
	}
}

package entryid

import (
	"math"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want ID
		ok   bool
	}{
		{"1700000000000-3", ID{1700000000000, 3}, true},
		{"5", ID{5, 0}, true},
		{"", ID{}, false},
		{"1-", ID{}, false},
		{"-1-1", ID{}, false},
		{"1-x", ID{}, false},
	} {
		got, err := Parse(tt.in)
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("Parse(%q) = %v, %v; want %v", tt.in, got, err, tt.want)
		}
	}
}

func TestPrev(t *testing.T) {
	for _, tt := range []struct{ in, want ID }{
		{ID{5, 3}, ID{5, 2}},
		{ID{5, 0}, ID{4, math.MaxInt64}},
		{ID{}, ID{}},
	} {
		got := tt.in.Prev()
		if got != tt.want {
			t.Errorf("%v.Prev() = %v, want %v", tt.in, got, tt.want)
		}
		if tt.in != (ID{}) && !got.Less(tt.in) {
			t.Errorf("%v is not below %v", got, tt.in)
		}
	}
}

func TestNext(t *testing.T) {
	for _, id := range []ID{{}, {Ms: 5}, {Ms: 5, Seq: 7}, {Ms: 5, Seq: math.MaxInt64}} {
		if next := id.Next(); !id.Less(next) || next.Prev() != id {
			t.Errorf("%v.Next() = %v", id, next)
		}
	}
	if got := At(time.UnixMilli(1234)); got != (ID{Ms: 1234}) || At(time.Time{}) != (ID{}) {
		t.Errorf("At = %v", got)
	}
}

package stage

import (
	"os"
	"testing"
)

func TestParseStat(t *testing.T) {
	line := "42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 20 5 20 0 9 0 100 123456 777 18446744073709551615 1 1 0\n"
	s, err := parseStat([]byte(line))
	if err != nil || s.pid != 42 || s.ppid != 7 || s.own != 200 || s.children != 25 || s.rssPages != 777 {
		t.Errorf("parseStat = %+v, %v", s, err)
	}
	for _, bad := range []string{"", "42 (x) S", "42 x S 7 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("parseStat(%q) does not fail", bad)
		}
	}
}

func TestUsageOf_ourselves(t *testing.T) {
	own, err := UsageOf(os.Getpid())
	if err != nil || own.RSSBytes < 1<<20 {
		t.Errorf("UsageOf = %+v, %v", own, err)
	}
	family, err := FamilyUsageOf(os.Getpid())
	if err != nil || family.RSSBytes < 1<<19 || family.CPUSeconds < own.CPUSeconds {
		t.Errorf("FamilyUsageOf = %+v, %v", family, err)
	}
}

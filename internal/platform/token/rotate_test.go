package token

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRotation follows three keys through their lifetimes, and checks that the key for every valid
// token always exists.
func TestRotation(t *testing.T) {
	t.Parallel()
	const ttl = 15 * time.Minute
	dir := t.TempDir()
	keys, err := LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now().Truncate(time.Second)
	now := start
	keys.now = func() time.Time { return now }
	states := func() string {
		t.Helper()
		if err := keys.Reload(); err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, k := range keys.infos(ttl) {
			list = append(list, string(k.State))
		}
		return strings.Join(list, " ")
	}
	for range 2 {
		if _, err := Rotate(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{0, "signs settling settling"},
		{Settle - time.Second, "signs settling settling"},
		{Settle + 3*time.Second, "verifies verifies signs"},
		{Settle + reloadDelay + ttl, "verifies verifies signs"},
		{Settle + reloadDelay + ttl + leeway + 3*time.Second, "outlived outlived signs"},
	} {
		now = start.Add(step.after)
		if got := states(); got != step.want {
			t.Errorf("after %v: %s, want %s", step.after, got, step.want)
		}
	}
	signs := keys.Signing().ID
	if gone, err := keys.prune(ttl); err != nil || len(gone) != 2 || slices.Contains(gone, signs) {
		t.Errorf("pruned %v, %v; want the two that do not sign", gone, err)
	}
	if got := states(); got != "signs" || keys.Signing().ID != signs {
		t.Errorf("after pruning: %s, %s signs", got, keys.Signing().ID)
	}
	if gone, err := Prune(dir, ttl); err != nil || len(gone) > 0 {
		t.Errorf("pruned the last key: %v, %v", gone, err)
	}
}

func TestRotate_foreignNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	odd := newKey(t)
	odd.ID = "zebra"
	if err := WriteKey(dir, odd); err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(dir); err == nil || !strings.Contains(err.Error(), "zebra") {
		t.Errorf("err = %v, want one that names the key", err)
	}
}

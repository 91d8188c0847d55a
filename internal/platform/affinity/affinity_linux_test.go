package affinity

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// other is a thread id that is not used by this process.
const other = 1 << 30

// A worker on the same core as another one moves, and may run on every core again afterward.
func TestApart_moves(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := allowed(t)
	if before.Count() < 2 {
		t.Skip("there is one core")
	}
	var one unix.CPUSet
	one.Set(lowest(before))
	set(t, one) // so that its core is known
	here, ok := current()
	if !ok {
		t.Fatal("the current core is unknown")
	}
	set(t, before)
	s := NewSpread(2)
	s.at[0].Store(place{other, here.core}.pack())
	for range 20 { // the kernel may have moved the thread before the check
		s.Apart(1)
	}
	if on := unpackPlace(s.at[1].Load()).core; on == here.core {
		t.Errorf("unpackPlace on %d, where the other one is", on)
	}
	if after := allowed(t); after != before {
		t.Errorf("may run on %d cores now, before on %d", after.Count(), before.Count())
	}
}

// A thread that had been bound to some cores is bound to the same ones afterward.
func TestRestore(t *testing.T) {
	one, free := bind(t)
	defer free()
	if !restore(&one) {
		t.Error("not restored")
	}
	if after := allowed(t); after != one {
		t.Errorf("may run on %d cores, want 1", after.Count())
	}
}

// A worker stays if it is alone on its core. The worker with the lowest number also stays, so that
// not all move at the same time. A worker also stays if no other core is free, or if the recorded
// place is its own thread.
func TestApart_stays(t *testing.T) {
	one, free := bind(t)
	defer free()
	core := lowest(one)
	here, _ := current()
	elsewhere := place{other, int32(core)}.pack()
	for name, tt := range map[string]struct {
		worker int
		notes  [3]int64
	}{
		"alone":                {1, [3]int64{}},
		"first":                {0, [3]int64{0, elsewhere}},
		"nowhere to go":        {1, [3]int64{elsewhere}},
		"its thread's own way": {2, [3]int64{here.pack(), here.pack()}},
	} {
		s := NewSpread(3)
		for i, n := range tt.notes {
			s.at[i].Store(n)
		}
		s.Apart(tt.worker)
		if got := unpackPlace(s.at[tt.worker].Load()); got != here {
			t.Errorf("%s: unpackPlace %+v, want %+v", name, got, here)
		}
		if s.Ended(tt.worker); s.at[tt.worker].Load() != 0 {
			t.Errorf("%s: still unpackPlace", name)
		}
	}
	s := NewSpread(3)
	s.at[0].Store(here.pack())
	s.at[2].Store(elsewhere)
	if taken := s.taken(1, here.thread); len(taken) != 1 || taken[0] != int32(core) {
		t.Errorf("taken %v, want only that of the other thread", taken)
	}
}

// bind locks the calling goroutine to a thread and the thread to one core, until free is called.
func bind(t *testing.T) (one unix.CPUSet, free func()) {
	t.Helper()
	runtime.LockOSThread()
	before := allowed(t)
	one.Set(lowest(before))
	set(t, one)
	return one, func() {
		set(t, before)
		runtime.UnlockOSThread()
	}
}

func allowed(t *testing.T) (on unix.CPUSet) {
	t.Helper()
	if err := unix.SchedGetaffinity(0, &on); err != nil {
		t.Fatal(err)
	}
	return on
}

func set(t *testing.T, on unix.CPUSet) {
	t.Helper()
	if err := unix.SchedSetaffinity(0, &on); err != nil {
		t.Fatal(err)
	}
}

func lowest(set unix.CPUSet) (core int) {
	for !set.IsSet(core) {
		core++
	}
	return core
}

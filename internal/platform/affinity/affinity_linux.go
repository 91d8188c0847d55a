package affinity

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// current returns the calling thread and the core that it is on.
func current() (here place, ok bool) {
	thread, _, _ := syscall.RawSyscall(unix.SYS_GETTID, 0, 0, 0)
	var core uint32
	if _, _, err := syscall.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&core)), 0, 0); err != 0 {
		return place{}, false
	}
	return place{int32(thread), int32(core)}, true
}

// move moves the calling thread off some cores, and returns where it is then: not if there is no other core
// that it may run on, or nothing can be said of them.
func move(off []int32) (here place, ok bool) {
	runtime.LockOSThread() // what is set is the thread's
	var all unix.CPUSet
	if unix.SchedGetaffinity(0, &all) != nil {
		runtime.UnlockOSThread()
		return place{}, false
	}
	rest := all
	for _, c := range off {
		rest.Clear(int(c))
	}
	if rest.Count() == 0 || unix.SchedSetaffinity(0, &rest) != nil {
		runtime.UnlockOSThread()
		return place{}, false
	}
	here, ok = current()
	if restore(&all) {
		runtime.UnlockOSThread()
	} // else the thread is not to be another goroutine's: it ends with this one
	return here, ok
}

// restore lets the calling thread run where it could before. What was set is kept beside the cores that the
// process is given, and would bound it still if it were given more of them later. So no bound is set, unless
// there was one beside that (taskset).
func restore(all *unix.CPUSet) bool {
	var every, got unix.CPUSet
	every.Fill()
	if unix.SchedSetaffinity(0, &every) == nil && unix.SchedGetaffinity(0, &got) == nil && got == *all {
		return true
	}
	return unix.SchedSetaffinity(0, all) == nil
}

package affinity

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// current returns the calling thread and the core that it runs on.
func current() (here place, ok bool) {
	thread, _, _ := syscall.RawSyscall(unix.SYS_GETTID, 0, 0, 0)
	var core uint32
	if _, _, err := syscall.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&core)), 0, 0); err != 0 {
		return place{}, false
	}
	return place{int32(thread), int32(core)}, true
}

// move moves the calling thread to a core that is not in off, and returns the thread with its new
// core. ok is false if the thread may not run on any other core, or if a system call fails.
func move(off []int32) (here place, ok bool) {
	runtime.LockOSThread() // affinity is per thread
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
	} // if restore fails, the thread stays locked: it ends with this goroutine, and no other goroutine uses it
	return here, ok
}

// restore resets the CPU affinity of the calling thread. The kernel keeps an affinity mask in
// addition to the process's cpuset, and the mask would still apply if the cpuset grew later. So
// restore removes the mask, unless the process had a mask before, for example from taskset.
func restore(all *unix.CPUSet) bool {
	var every, got unix.CPUSet
	every.Fill()
	if unix.SchedSetaffinity(0, &every) == nil && unix.SchedGetaffinity(0, &got) == nil && got == *all {
		return true
	}
	return unix.SchedSetaffinity(0, all) == nil
}

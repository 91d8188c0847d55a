package stage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticks is the number of clock ticks per second (USER_HZ), the unit of CPU times in /proc. It is
// 100 on every Linux platform that Go supports.
const ticks = 100

// Usage describes the resources that a process has used, possibly including its children.
type Usage struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	RSSBytes   int64   `json:"rss_bytes"`
}

// stat contains some fields of /proc/PID/stat.
type stat struct {
	pid      int
	ppid     int
	own      int64 // CPU time of the process, in ticks
	children int64 // CPU time, in ticks, of the children that have ended and been waited for
	rssPages int64
}

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, fmt.Errorf("read usage: %w", err)
	}
	return parseStat(b)
}

// parseStat parses the contents of /proc/PID/stat. The second field is the program's name, which
// may contain any character.
func parseStat(b []byte) (s stat, err error) {
	_, after, ok := bytes.Cut(b[max(bytes.LastIndexByte(b, ')'), 0):], []byte(") "))
	f := strings.Fields(string(after))
	if !ok || len(f) < 22 {
		return s, fmt.Errorf("read usage: %q is no stat line", b)
	}
	number := func(field int) (n int64) { // numbered as in proc(5)
		if err == nil {
			n, err = strconv.ParseInt(f[field-3], 10, 64)
		}
		return n
	}
	s.pid, _ = strconv.Atoi(string(bytes.TrimSpace(b[:max(bytes.IndexByte(b, '('), 0)]))) // 0 is no process
	s.ppid = int(number(4))
	s.own = number(14) + number(15)
	s.children = number(16) + number(17)
	s.rssPages = number(24)
	if err != nil {
		return s, fmt.Errorf("read usage: %w", err)
	}
	return s, nil
}

// UsageOf returns the usage of pid.
func UsageOf(pid int) (Usage, error) {
	s, err := readStat(pid)
	if err != nil {
		return Usage{}, err
	}
	return Usage{float64(s.own) / ticks, s.rssPages * int64(os.Getpagesize())}, nil
}

// FamilyUsageOf returns the total usage of pid and its children, such as PostgreSQL's backends. It
// includes the CPU time of children that have ended, and counts shared memory only once.
func FamilyUsageOf(pid int) (Usage, error) {
	s, err := readStat(pid)
	if err != nil {
		return Usage{}, err
	}
	total, memory := s.own+s.children, proportional(pid, s)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is valid
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // the process has just ended
		}
		if child, err := parseStat(b); err == nil && child.ppid == pid {
			total += child.own + child.children
			memory += proportional(child.pid, child)
		}
	}
	return Usage{float64(total) / ticks, memory}, nil
}

// proportional returns a process's memory in bytes, including its proportional share of shared
// memory (PSS). If the kernel does not report the PSS, it returns the RSS.
func proportional(pid int, s stat) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" {
			if kib, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	return s.rssPages * int64(os.Getpagesize())
}

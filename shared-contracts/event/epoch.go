package event

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Epoch identifies one run of a channel's numbering. Its form is "<n>-<random>", and a greater n is
// newer. A new epoch begins when Redis has lost writes, so that clients can distinguish reused seqs
// from earlier ones.
type Epoch string

// ParseEpoch checks the form of an epoch.
func ParseEpoch(s string) (Epoch, error) {
	n, random, ok := strings.Cut(s, "-")
	if !ok || random == "" || len(s) > 64 || strings.ContainsAny(random, " \n") {
		return "", fmt.Errorf("epoch %.80q is not <n>-<random>", s)
	}
	if v, err := strconv.ParseInt(n, 10, 64); err != nil || v < 0 {
		return "", errors.New("an epoch must begin with a number")
	}
	return Epoch(s), nil
}

// Number returns the number n of the epoch, or -1 if e is invalid.
func (e Epoch) Number() int64 {
	n, _, _ := strings.Cut(string(e), "-")
	v, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		return -1
	}
	return v
}

// NewerThan reports whether e is newer than other.
func (e Epoch) NewerThan(other Epoch) bool { return e.Number() > other.Number() }

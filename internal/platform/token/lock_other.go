//go:build !darwin && !linux

package token

// lock does nothing here: two processes that start at once may each make a first key. Both verify.
func lock(string) (unlock func() error, err error) { return func() error { return nil }, nil }

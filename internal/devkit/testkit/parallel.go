package testkit

import (
	"flag"
	"strconv"
)

// Parallel sets how many parallel tests of a package run at a time. go test -parallel overrides it.
// Call it in TestMain of a package whose tests mostly wait: by default, only one test per core runs
// at a time.
func Parallel(tests int) {
	if err := flag.Set("test.parallel", strconv.Itoa(tests)); err != nil {
		panic(err) // the flag belongs to package testing
	}
}

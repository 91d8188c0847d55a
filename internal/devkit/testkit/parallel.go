package testkit

import (
	"flag"
	"strconv"
)

// Parallel sets how many parallel tests of a package run at a time. go test -parallel overrides it.
// Call it in TestMain of a package whose tests wait more than they compute: by default, only as
// many tests run at a time as there are cores.
func Parallel(tests int) {
	if err := flag.Set("test.parallel", strconv.Itoa(tests)); err != nil {
		panic(err) // the flag belongs to package testing
	}
}

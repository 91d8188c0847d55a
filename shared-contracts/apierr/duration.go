package apierr

import (
	"strconv"
	"strings"
	"time"
)

// Duration formats d in words for use in a message, such as "24 hours" or "1 minute 30 seconds".
// The seconds may have a decimal fraction.
func Duration(d time.Duration) string {
	var words []string
	for _, unit := range []struct {
		name   string
		length time.Duration
	}{{"hour", time.Hour}, {"minute", time.Minute}} {
		if n := int64(d / unit.length); n != 0 {
			words = append(words, plural(strconv.FormatInt(n, 10), unit.name))
		}
		d %= unit.length
	}
	if d != 0 || len(words) == 0 {
		words = append(words, plural(strconv.FormatFloat(d.Seconds(), 'f', -1, 64), "second"))
	}
	return strings.Join(words, " ")
}

func plural(n, unit string) string {
	if n == "1" {
		return n + " " + unit
	}
	return n + " " + unit + "s"
}

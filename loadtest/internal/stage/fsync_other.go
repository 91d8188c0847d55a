//go:build !linux

package stage

import (
	"errors"
	"os"
	"time"
)

func fsyncTime(*os.File) (time.Duration, error) { return 0, errors.ErrUnsupported }

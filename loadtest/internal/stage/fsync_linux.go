package stage

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"parley.chat/loadtest/internal/stats"
)

func fsyncTime(file *os.File) (time.Duration, error) {
	var took []float64
	block := make([]byte, 512)
	for range 200 {
		began := time.Now()
		if _, err := file.Write(block); err != nil {
			return 0, fmt.Errorf("measure fsync: %w", err)
		}
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return 0, fmt.Errorf("measure fsync: %w", err)
		}
		took = append(took, float64(time.Since(began)))
	}
	return time.Duration(stats.MedianOf(took)), nil
}

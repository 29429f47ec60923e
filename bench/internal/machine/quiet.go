//go:build linux

package machine

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"
)

// QuietEnough is the share of the machine that others may use while we measure.
const QuietEnough = 0.10

// Pause waits for d, and then until others leave the machine alone, though not
// longer than limit. It returns the share of the machine that they used last.
func Pause(ctx context.Context, d, limit time.Duration) float64 {
	const look = 500 * time.Millisecond
	Sleep(ctx, d-look)
	deadline := time.Now().Add(limit)
	for {
		share := OthersShare(ctx, look)
		if share < QuietEnough || time.Now().After(deadline) || ctx.Err() != nil {
			return share
		}
	}
}

// OthersShare is how much of the machine is used while we do nothing.
func OthersShare(ctx context.Context, d time.Duration) float64 {
	before, _ := os.ReadFile("/proc/stat")
	Sleep(ctx, d)
	after, _ := os.ReadFile("/proc/stat")
	busy0, all0 := parseBusy(string(before))
	busy1, all1 := parseBusy(string(after))
	return float64(busy1-busy0) / float64(max(all1-all0, 1))
}

// parseBusy reads the first line of /proc/stat: the ticks that all processors
// were busy, and all their ticks. Waiting for a disk is not busy; what the host
// of a virtual machine took away is.
func parseBusy(stat string) (busy, all int) {
	line, _, _ := strings.Cut(stat, "\n")
	words := strings.Fields(line)
	const idle, iowait, steal = 4, 5, 8 // guest ticks, after steal, are in user already
	for i := 1; i < len(words) && i <= steal; i++ {
		n, _ := strconv.Atoi(words[i])
		all += n
		if i != idle && i != iowait {
			busy += n
		}
	}
	return busy, all
}

// Sleep waits for d, or less when ctx is done.
func Sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/gafferpm/gaffer"
)

// smallProgram keeps templates until its files have reached the limit of 256 KiB,
// and says how many.
func smallProgram(args []string) int {
	signal.Ignore(syscall.SIGXFSZ) // what is too large is an error then
	limit := syscall.Rlimit{Cur: 256 << 10, Max: 256 << 10}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := Open(args[0], Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	big := strings.Repeat("x", 10_000)
	for n := uint64(1); ; n++ {
		err := s.Keep(context.Background(), []gaffer.Kept{kept(n, fmt.Sprintf("t%d", n), big, 1, true)})
		if err == nil {
			continue
		}
		if !errors.Is(err, syscall.EFBIG) && !strings.Contains(err.Error(), "too large") {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println("acknowledged", n-1)
		return 0
	}
}

package proc

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// block is a row of neighbouring descriptors, all on the null device while
// nothing is being started. A start puts what the child needs there, so that the
// child can drop everything above with one call. The lower the row, the less has
// to be copied: it is taken when few descriptors are open.
type block struct {
	first, count int
}

// takeBlock opens a row of count descriptors, none below lowest. They are closed
// in other programs that are executed.
func takeBlock(null, lowest, count int) (block, error) {
	b := block{first: lowest}
	for b.count < count {
		fd, err := unix.FcntlInt(uintptr(null), unix.F_DUPFD_CLOEXEC, b.first+b.count)
		if err != nil {
			b.close()
			return block{}, fmt.Errorf("descriptors: %w", err)
		}
		if fd != b.first+b.count {
			b.close() // something is in the way: go on behind it
			b = block{first: fd}
		}
		b.count++
	}
	return b, nil
}

func (b *block) end() int { return b.first + b.count }

func (b *block) set(i, fd int) error {
	return unix.Dup3(fd, b.first+i, unix.O_CLOEXEC)
}

func (b *block) close() {
	for i := range b.count {
		_ = unix.Close(b.first + i)
	}
	b.count = 0
}

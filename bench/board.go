//go:build linux

package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// boardHead is where the slots begin on the board. As in child.c.
const boardHead = 4096

// slot is what one child writes about itself. Times are CLOCK_MONOTONIC in
// nanoseconds. As in child.c.
type slot struct {
	first, start, stop int64
	pid, starts        uint32
	_                  [4]uint64
}

// board is a file mapped by every child and by the harness: the children note
// their starts and stops on it. Slots count from 1, as they do in gaffer.
type board struct {
	path string
	mem  []byte
}

// newBoard makes a board for children 1 to n, in memory where the machine has a
// file system for that.
func newBoard(n int) (*board, error) {
	dir := "/dev/shm"
	if unix.Access(dir, unix.W_OK) != nil {
		dir = ""
	}
	f, err := os.CreateTemp(dir, "gaffer-bench-board-")
	if err != nil {
		return nil, fmt.Errorf("board: %w", err)
	}
	defer f.Close()
	b := &board{path: f.Name()}
	size := boardHead + (n+1)*int(unsafe.Sizeof(slot{}))
	if err := f.Truncate(int64(size)); err != nil {
		b.close()
		return nil, fmt.Errorf("board: %w", err)
	}
	b.mem, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		b.close()
		return nil, fmt.Errorf("board: map: %w", err)
	}
	return b, nil
}

func (b *board) close() {
	if b.mem != nil {
		_ = unix.Munmap(b.mem)
	}
	_ = os.Remove(b.path)
}

func (b *board) clear() { clear(b.mem) }

// started counts the starts of all children since the board was cleared.
func (b *board) started() int { return int(atomic.LoadUint64((*uint64)(unsafe.Pointer(&b.mem[0])))) }

// stopped counts the children that were asked to stop.
func (b *board) stopped() int { return int(atomic.LoadUint64((*uint64)(unsafe.Pointer(&b.mem[8])))) }

// slot copies slot i. starts is read first, so that the times are at least as new.
func (b *board) slot(i int) slot {
	p := (*slot)(unsafe.Pointer(&b.mem[boardHead+i*int(unsafe.Sizeof(slot{}))]))
	starts := atomic.LoadUint32(&p.starts)
	return slot{
		first:  atomic.LoadInt64(&p.first),
		start:  atomic.LoadInt64(&p.start),
		stop:   atomic.LoadInt64(&p.stop),
		pid:    atomic.LoadUint32(&p.pid),
		starts: starts,
	}
}

// now is the clock that the children use.
func now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

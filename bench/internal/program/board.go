//go:build linux

package program

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// boardHead is where the slots begin on the board. As in child.c.
const boardHead = 4096

// Slot is what one child writes about itself. Times are CLOCK_MONOTONIC in
// nanoseconds. As in child.c.
type Slot struct {
	First, Start, Stop int64
	PID, Starts        uint32
	_                  [4]uint64
}

// Board is a file mapped by every child and by the harness: the children note
// their starts and stops on it. Slots count from 1, as they do in gaffer.
type Board struct {
	Path string
	mem  []byte
}

// NewBoard makes a board for children 1 to n, in memory where the machine has a
// file system for that.
func NewBoard(n int) (*Board, error) {
	dir := "/dev/shm"
	if unix.Access(dir, unix.W_OK) != nil {
		dir = ""
	}
	f, err := os.CreateTemp(dir, "gaffer-bench-board-")
	if err != nil {
		return nil, fmt.Errorf("board: %w", err)
	}
	defer f.Close()
	b := &Board{Path: f.Name()}
	size := boardHead + (n+1)*int(unsafe.Sizeof(Slot{}))
	if err := f.Truncate(int64(size)); err != nil {
		b.Close()
		return nil, fmt.Errorf("board: %w", err)
	}
	b.mem, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("board: map: %w", err)
	}
	return b, nil
}

// Close takes the board away.
func (b *Board) Close() {
	if b.mem != nil {
		_ = unix.Munmap(b.mem)
	}
	_ = os.Remove(b.Path)
}

// Clear forgets all starts and stops.
func (b *Board) Clear() { clear(b.mem) }

// Started counts the starts of all children since the board was cleared.
func (b *Board) Started() int { return int(atomic.LoadUint64((*uint64)(unsafe.Pointer(&b.mem[0])))) }

// Stopped counts the children that were asked to stop.
func (b *Board) Stopped() int { return int(atomic.LoadUint64((*uint64)(unsafe.Pointer(&b.mem[8])))) }

// Slot copies slot i. starts is read first, so that the times are at least as new.
func (b *Board) Slot(i int) Slot {
	p := (*Slot)(unsafe.Pointer(&b.mem[boardHead+i*int(unsafe.Sizeof(Slot{}))]))
	starts := atomic.LoadUint32(&p.Starts)
	return Slot{
		First:  atomic.LoadInt64(&p.First),
		Start:  atomic.LoadInt64(&p.Start),
		Stop:   atomic.LoadInt64(&p.Stop),
		PID:    atomic.LoadUint32(&p.PID),
		Starts: starts,
	}
}

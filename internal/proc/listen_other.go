//go:build unix && !linux

package proc

import "os"

// own says who may use a unix socket.
func own(path string, uid, gid int, mode os.FileMode) error {
	if uid >= 0 || gid >= 0 {
		if err := os.Lchown(path, uid, gid); err != nil {
			return errnoOf(err)
		}
	}
	return os.Chmod(path, mode)
}

// Borrowed is a process whose sockets could be taken a copy of.
type Borrowed struct{}

// Borrow can't do so on this system.
func (h *Held) Borrow() *Borrowed { return nil }

// Return is the end of the borrowing.
func (b *Borrowed) Return() {}

// Socket is none.
func (b *Borrowed) Socket(*Listen) *os.File { return nil }

//go:build linux

package logs

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// staging is a file in memory through which everything goes that is read from a
// service. At the end of the bytes that are about to be read there is a nonce, and a
// note says where they belong: whoever comes after this program was killed sees by the
// nonce whether they were read, and if so writes them there, again or for the first
// time. It belongs to the goroutine that takes.
type staging struct {
	file  *os.File
	page  []byte // the mapping
	note  []byte // its beginning
	buf   []byte // the rest
	nonce [nonceSize]byte
	count uint64
	last  atomic.Pointer[Writer] // that was written to last
}

const (
	stagingNote = 4096
	stagingSize = 256 << 10
	nonceSize   = 16
)

// Where things are in the note.
const (
	noteState  = 0  // 1: the rest of the note is in force
	noteSize   = 8  // how many bytes are being read
	noteOffset = 16 // in the stream
	noteLimit  = 24 // of a file
	noteNonce  = 32
	noteName   = 48 // its length in two bytes, and the name of the stream
)

func openStaging(path string) (*staging, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	s := &staging{file: f}
	err = unix.Fallocate(int(f.Fd()), 0, 0, stagingNote+stagingSize)
	if err != nil { // where that is not known, there may be no room for a page later
		err = f.Truncate(stagingNote + stagingSize)
	}
	if err == nil {
		s.page, err = unix.Mmap(int(f.Fd()), 0, stagingNote+stagingSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	}
	if err != nil {
		return nil, &os.PathError{Op: "staging", Path: path, Err: err}
	}
	s.note, s.buf = s.page[:stagingNote], s.page[stagingNote:]
	_, err = rand.Read(s.nonce[:])
	return s, err
}

func (s *staging) state() *uint32 { return (*uint32)(unsafe.Pointer(&s.note[noteState])) }

// begin notes what is about to be read, n bytes of at least nonceSize.
func (s *staging) begin(name string, offset, limit int64, n int) {
	s.count++
	binary.LittleEndian.PutUint64(s.nonce[8:], s.count*0x9e3779b97f4a7c15)
	copy(s.buf[n-nonceSize:n], s.nonce[:])
	copy(s.note[noteNonce:], s.nonce[:])
	binary.LittleEndian.PutUint64(s.note[noteSize:], uint64(n))
	binary.LittleEndian.PutUint64(s.note[noteOffset:], uint64(offset))
	binary.LittleEndian.PutUint64(s.note[noteLimit:], uint64(limit))
	binary.LittleEndian.PutUint16(s.note[noteName:], uint16(len(name)))
	copy(s.note[noteName+2:], name)
	atomic.StoreUint32(s.state(), 1)
}

// clear says that nothing is left.
func (s *staging) clear() { atomic.StoreUint32(s.state(), 0) }

// left is what was read and may not have been written; nil: nothing.
func (s *staging) left() (name string, offset int64, data []byte) {
	if atomic.LoadUint32(s.state()) != 1 {
		return "", 0, nil
	}
	n := binary.LittleEndian.Uint64(s.note[noteSize:])
	length := int(binary.LittleEndian.Uint16(s.note[noteName:]))
	if n < nonceSize || n > stagingSize || noteName+2+length > stagingNote ||
		bytes.Equal(s.buf[n-nonceSize:n], s.note[noteNonce:noteNonce+nonceSize]) {
		s.clear()
		return "", 0, nil
	}
	name = string(s.note[noteName+2 : noteName+2+length])
	return name, int64(binary.LittleEndian.Uint64(s.note[noteOffset:])), s.buf[:n]
}

// limit is that of the file which the bytes that are left belong to.
func (s *staging) limit() int64 { return int64(binary.LittleEndian.Uint64(s.note[noteLimit:])) }

func (s *staging) close() error {
	err := unix.Munmap(s.page)
	if cerr := s.file.Close(); err == nil {
		err = cerr
	}
	return err
}

//go:build linux

package logs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// turnIfFull begins a new file if this one is full and at the end of a line.
func (w *Writer) turnIfFull() error {
	limit := w.limit.Load().withDefaults().MaxSize
	split := w.size >= 2*limit && w.inLine() // the line is longer than a file
	if w.size < limit || w.inLine() && !split || !w.turn() {
		return nil
	}
	if split {
		w.mark(mark{offset: w.base, kind: markSplit, id: w.owner()})
	}
	return nil
}

func (w *Writer) grow(n int64) {
	w.size += n
	w.end.Store(w.base + w.size)
}

// place writes bytes at the end of the stream. Where a file ends is decided by what is
// in it and by its limit alone, so that repeating it comes to the same.
func (w *Writer) place(data []byte) error {
	w.placing = w.base + w.size
	limit := w.limit.Load().withDefaults().MaxSize
	for len(data) > 0 {
		n, turn, split := w.share(data, limit)
		if err := w.write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
		if !turn {
			continue
		}
		if !w.turn() {
			return w.write(data)
		}
		if split {
			w.mark(mark{time: w.store.now(), offset: w.base, kind: markSplit, id: w.owner()})
		}
	}
	return nil
}

func (w *Writer) owner() uint64 {
	if w.by == nil {
		return 0
	}
	return w.by.id
}

// share is how much of the data belongs to the current file, whether the next one
// begins then, and whether that is in the middle of a line.
func (w *Writer) share(data []byte, limit int64) (n int, turn, split bool) {
	room := limit - w.size
	if int64(len(data)) <= room {
		return len(data), false, false
	}
	if room > 0 {
		if i := bytes.LastIndexByte(data[:room], '\n'); i >= 0 {
			return i + 1, true, false
		}
	}
	if w.size > 0 && !w.inLine() {
		return 0, true, false
	}
	// The line began in this file and is to end in it, unless it is longer than a file.
	most := min(int64(len(data)), max(room, 0)+limit)
	if i := bytes.IndexByte(data[:most], '\n'); i >= 0 {
		return i + 1, true, false
	}
	if room+limit > int64(len(data)) {
		return len(data), false, false
	}
	return int(max(room+limit, 0)), true, true
}

// write writes bytes at the end of the current file.
func (w *Writer) write(data []byte) error {
	for len(data) > 0 {
		n, err := w.store.pwrite(w.log, data, w.size)
		if n > 0 {
			w.midline, w.unsure = data[n-1] != '\n', false
			w.grow(int64(n))
			data = data[n:]
		}
		if err != nil && err != unix.EINTR {
			return err
		}
	}
	return nil
}

// replace places bytes that may be there already, in whole or in part.
func (w *Writer) replace(data []byte, offset int64) error {
	if skip := w.base - offset; skip > 0 {
		data = data[min(skip, int64(len(data))):]
		offset = w.base
	}
	if at := offset - w.base; at <= w.size {
		w.size = at
		w.unsure = true
		w.end.Store(offset)
		return w.place(data)
	}
	return errors.New("the file is shorter than it was")
}

// inLine says whether the stream ends within a line.
func (w *Writer) inLine() bool {
	if !w.unsure {
		return w.midline
	}
	var b [1]byte
	if w.size == 0 {
		w.midline, w.unsure = false, false
		return false
	}
	if _, err := unix.Pread(w.log, b[:], w.size-1); err == nil {
		w.midline, w.unsure = b[0] != '\n', false
	}
	return w.midline
}

// finishLine ends a line that nobody will.
func (w *Writer) finishLine() {
	if w.log < 0 || !w.inLine() {
		return
	}
	w.mark(mark{time: w.store.now(), offset: w.base + w.size, kind: markNewline, id: w.owner()})
	if err := w.write([]byte{'\n'}); err != nil {
		w.failed(err)
	}
}

// turn begins a new file. Where that can't be, it goes on in the file that there is, and
// is tried again after a while.
func (w *Writer) turn() bool {
	if time.Now().Before(w.turnRetry) {
		return false
	}
	err := w.rotate()
	switch {
	case err == nil:
		w.turnRetry = time.Time{}
		return true
	case w.turnRetry.IsZero():
		w.store.logger.Error("a log file is full, and no other can be begun: it grows", "stream", w.source.String(), "reason", err)
	}
	w.turnRetry = time.Now().Add(turnAgain)
	return false
}

// turnAgain is how long after it could not be begun another file is tried.
const turnAgain = 10 * time.Second

// rotate begins a new file. The old one keeps the name that it gets now.
func (w *Writer) rotate() error {
	label := w.source.label
	w.mark(mark{offset: w.base + w.size, kind: markRotated})
	next := w.base + w.size
	current, index := currentPath(w.dir, label), currentIndex(w.dir, label)
	// The index goes first: a file without one is repaired, and with another's too.
	if err := os.Rename(index, filepath.Join(w.dir, rotatedIndex(label, w.base))); err != nil {
		return err
	}
	if err := os.Rename(current, filepath.Join(w.dir, rotatedName(label, w.base))); err != nil {
		_ = os.Rename(filepath.Join(w.dir, rotatedIndex(label, w.base)), index)
		return err
	}
	w.closeFiles()
	w.known = false
	if err := w.open(); err != nil {
		w.base, w.size = next, 0
		return err
	}
	w.midline, w.unsure, w.marked = false, false, 0
	if by := w.by; by != nil {
		w.mark(mark{offset: w.base, id: by.id})
	}
	return nil
}

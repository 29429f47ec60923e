//go:build linux

package logs

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// takenAway says whether somebody has removed, renamed or cut the files that are open.
func (w *Writer) takenAway() bool {
	same := func(fd int, path string, size int64) bool {
		var open, named unix.Stat_t
		return unix.Fstat(fd, &open) == nil && unix.Stat(path, &named) == nil &&
			open.Ino == named.Ino && open.Dev == named.Dev && open.Size == size
	}
	label := w.source.label
	return w.log >= 0 && w.index != nil && !(same(w.log, currentPath(w.dir, label), w.size) && same(int(w.index.Fd()), currentIndex(w.dir, label), w.marks))
}

// there says whether there is a file. In it may be what the process wrote before somebody
// was killed who was to finish its last line.
func (w *Writer) there() bool {
	_, err := os.Stat(currentPath(w.dir, w.source.label))
	return err == nil
}

// open opens the files, having repaired what does not agree.
func (w *Writer) open() error {
	if w.log >= 0 {
		return nil
	}
	if err := os.MkdirAll(w.dir, dirMode); err != nil {
		return err
	}
	w.store.makeRoom(w)
	log, err := unix.Open(currentPath(w.dir, w.source.label), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return &os.PathError{Op: "open", Path: currentPath(w.dir, w.source.label), Err: err}
	}
	if err := w.openIndex(log); err != nil {
		_ = unix.Close(log)
		return err
	}
	w.log = log
	w.store.opened.Add(1)
	if !w.known {
		w.known, w.unsure = true, true
		w.retire()
	}
	return nil
}

func (w *Writer) openIndex(log int) error {
	path := currentIndex(w.dir, w.source.label)
	var stat unix.Stat_t
	if err := unix.Fstat(log, &stat); err != nil {
		return err
	}
	if w.known && stat.Size == w.size {
		f, err := os.OpenFile(path, os.O_RDWR, fileMode)
		if err == nil {
			w.index = f
			return nil
		}
	}
	w.known = false // somebody has taken away one of the two
	end := int64(0)
	if before := segments(w.dir, w.source.label); len(before) > 0 {
		end = before[len(before)-1].end(w.source.label)
	}
	base, marks, fault := repaired(path, end, stat.Size, stat.Mtim.Nano())
	if fault != "" {
		w.store.logger.Warn("the index of a log is made anew", "stream", w.source.String(), "reason", fault)
	}
	if told := w.end.Load(); base+stat.Size < told { // no offset is given out twice
		base = told - stat.Size
		marks = []mark{{time: stat.Mtim.Nano(), offset: base, id: w.last}}
	}
	text, last := indexText(base, marks)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(text, 0); err != nil {
		_ = f.Close()
		return err
	}
	_ = f.Truncate(int64(len(text)))
	w.index, w.marks, w.latest = f, int64(len(text)), last
	w.base, w.size = base, stat.Size
	if m, ok := covering(marks, base+stat.Size); ok && w.by == nil {
		w.last = m.id
	}
	w.end.Store(base + w.size)
	return nil
}

func (w *Writer) closeFiles() {
	if w.log >= 0 {
		_ = unix.Close(w.log)
		w.log = -1
		w.store.opened.Add(-1)
	}
	if w.index != nil {
		_ = w.index.Close()
		w.index = nil
	}
}

// mark adds to the index. One that can't be added makes times less exact.
func (w *Writer) mark(m mark) {
	if m.time == 0 {
		m.time = w.store.now()
	}
	if w.index == nil {
		return
	}
	if n, err := w.index.WriteAt(appendMark(nil, &w.latest, &m), w.marks); err == nil {
		w.marks += int64(n)
		w.latest = m
	}
}

// retire removes the files that there are too many of.
func (w *Writer) retire() {
	if temps, err := filepath.Glob(filepath.Join(w.dir, w.source.label+".*"+logSuffix+tempSuffix)); err == nil {
		for _, temp := range temps { // of somebody who was killed
			w.store.aside(func() error { return os.Remove(temp) })
		}
	}
	l := w.limit.Load().withDefaults()
	list := segments(w.dir, w.source.label)
	total := l.MaxSize // of the one that is written
	for _, s := range list {
		total += s.onDisk(w.source.label)
	}
	for i, s := range list {
		many := len(list)-i > l.MaxFiles-1
		large := l.MaxTotal > 0 && total > l.MaxTotal
		expires := time.Time{}
		if info, err := os.Stat(s.path); l.MaxAge > 0 && err == nil {
			expires = info.ModTime().Add(l.MaxAge)
		}
		if old := !expires.IsZero() && !time.Now().Before(expires); !many && !large && !old {
			if !expires.IsZero() {
				w.store.expires(expires)
			}
			if !l.Plain {
				w.store.packLater(list[i:])
			}
			return
		}
		total -= s.onDisk(w.source.label)
		// To give back the memory of a file takes as long as to write a part of it.
		w.store.aside(func() error {
			return remove(filepath.Join(w.dir, rotatedName(w.source.label, s.base)), filepath.Join(w.dir, rotatedIndex(w.source.label, s.base)))
		})
	}
}

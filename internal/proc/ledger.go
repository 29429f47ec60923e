package proc

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Ledger is a file of the processes that were started, or are about to be, so that
// whoever comes after all who knew of them finds them again and starts no second copy.
// A line is written before a start, and one after it. It lives as long as the system
// does: after a boot nothing in it is true any more.
//
// mu guards what is below it.
type Ledger struct {
	path string
	boot string

	mu   sync.Mutex
	file *os.File
	size int64
	live map[uint64]*ledgerPlace
}

// ledgerPlace is where the latest note of a process is.
type ledgerPlace struct {
	offset int64
	length int
	pid    int
	birth  uint64
}

// Entry is what a ledger knows of a process.
type Entry struct {
	ID    uint64
	Note  []byte
	PID   int    // 0: it may have been started, or not
	Birth uint64 // when, in the kernel's ticks since the boot
}

// ledgerLine is one line of the file.
type ledgerLine struct {
	Boot  string          `json:"boot,omitempty"`
	ID    uint64          `json:"id,omitempty"`
	Note  json.RawMessage `json:"note,omitempty"`
	PID   int             `json:"pid,omitempty"`
	Birth uint64          `json:"birth,omitempty"`
	Gone  bool            `json:"gone,omitempty"`
}

const (
	ledgerName = "processes"
	// ledgerSlack is how much of the file may be about processes that are gone.
	ledgerSlack = 1 << 20
)

// OpenLedger opens the ledger in a directory, and returns what is in it. The directory
// is this program's alone.
func OpenLedger(dir, boot string) (*Ledger, []Entry, error) {
	l := &Ledger{path: filepath.Join(dir, ledgerName), boot: boot, live: map[uint64]*ledgerPlace{}}
	entries, err := l.read()
	if err == nil {
		err = l.rewrite(entries)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("ledger of processes: %w", err)
	}
	return l, entries, nil
}

// ReadLedger is what the ledger in a directory says now, while somebody else may be
// writing it.
func ReadLedger(dir, boot string) []Entry {
	entries, _ := (&Ledger{path: filepath.Join(dir, ledgerName), boot: boot}).read()
	return entries
}

// read is what the file says, in the order of the starts.
func (l *Ledger) read() ([]Entry, error) {
	text, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known := map[uint64]*Entry{}
	var order []uint64
	lines := bufio.NewReader(bytes.NewReader(text))
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			break // what has no end was not finished, and nothing was begun on its strength
		}
		var line ledgerLine
		if json.Unmarshal(text, &line) != nil {
			continue
		}
		if line.Boot != "" {
			if line.Boot != l.boot {
				return nil, nil
			}
			continue
		}
		e := known[line.ID]
		if e == nil {
			e = &Entry{ID: line.ID}
			known[line.ID] = e
			order = append(order, line.ID)
		}
		switch {
		case line.Gone:
			delete(known, line.ID)
		case line.PID != 0:
			e.PID, e.Birth = line.PID, line.Birth
		}
		if line.Note != nil {
			e.Note = line.Note
		}
	}
	var entries []Entry
	for _, id := range order {
		if e := known[id]; e != nil {
			entries = append(entries, *e)
			delete(known, id)
		}
	}
	return entries, nil
}

// rewrite writes the file anew, with these entries alone.
func (l *Ledger) rewrite(entries []Entry) error {
	temp, err := os.OpenFile(l.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	file, size, live := l.file, l.size, l.live
	l.file, l.size, l.live = temp, 0, map[uint64]*ledgerPlace{}
	err = l.add(ledgerLine{Boot: l.boot})
	for _, e := range entries {
		err = errors.Join(err, l.intend(e.ID, e.Note))
		if e.PID != 0 {
			err = errors.Join(err, l.born(e.ID, e.PID, e.Birth))
		}
	}
	if err == nil {
		err = os.Rename(temp.Name(), l.path)
	}
	if err != nil { // the one that there was is as good as before
		l.file, l.size, l.live = file, size, live
		_ = os.Remove(temp.Name())
		return errors.Join(err, temp.Close())
	}
	if file != nil {
		_ = file.Close()
	}
	return nil
}

// add writes a line whole, with one call.
func (l *Ledger) add(line ledgerLine) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	n, err := l.file.WriteAt(append(text, '\n'), l.size)
	if err != nil {
		return errors.Join(err, l.file.Truncate(l.size))
	}
	l.size += int64(n)
	return nil
}

// Intend notes that a process is about to be started.
func (l *Ledger) Intend(id uint64, note []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.intend(id, note)
}

func (l *Ledger) intend(id uint64, note []byte) error {
	at := l.size
	if err := l.add(ledgerLine{ID: id, Note: note}); err != nil {
		return err
	}
	p := l.live[id]
	if p == nil {
		p = &ledgerPlace{}
		l.live[id] = p
	}
	p.offset, p.length = at, int(l.size-at)
	return nil
}

// Note replaces the note of a process that is in the ledger.
func (l *Ledger) Note(id uint64, note []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live[id] != nil {
		_ = l.intend(id, note) // the old one is less good, but not wrong
	}
}

// Born notes that a process was started.
func (l *Ledger) Born(id uint64, pid int, birth uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.born(id, pid, birth) // then it is an intent, whose process is looked for
}

func (l *Ledger) born(id uint64, pid int, birth uint64) error {
	if p := l.live[id]; p != nil {
		p.pid, p.birth = pid, birth
	}
	return l.add(ledgerLine{ID: id, PID: pid, Birth: birth})
}

// Gone notes that there is nothing to know of a process any more.
func (l *Ledger) Gone(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live[id] == nil {
		return
	}
	delete(l.live, id)
	if l.add(ledgerLine{ID: id, Gone: true}) != nil || l.size < ledgerSlack {
		return
	}
	kept := int64(0)
	for _, p := range l.live {
		kept += int64(p.length)
	}
	if l.size > 4*kept+ledgerSlack {
		_ = l.rewrite(l.entries()) // else it is a little larger for longer
	}
}

// entries are those that are in force, read from the file.
func (l *Ledger) entries() []Entry {
	entries := make([]Entry, 0, len(l.live))
	for id, p := range l.live {
		text := make([]byte, p.length)
		var line ledgerLine
		if _, err := l.file.ReadAt(text, p.offset); err == nil && json.Unmarshal(text, &line) == nil {
			entries = append(entries, Entry{ID: id, Note: line.Note, PID: p.pid, Birth: p.birth})
		}
	}
	return entries
}

// Close ends the use of the ledger, not what is in it.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ceiling is what is known for certain of the numbers that were given out, even
// when the power fails: none is greater. It is raised before one could be.
type ceiling struct {
	Write uint64 `json:"write"` // counts the writes
	Boot  string `json:"boot"`  // of the system that wrote it; "": not known
	Clean bool   `json:"clean"` // written at a proper end: the numbers are the last ones
	// Holes says that events were lost, so that the journal does not tell which
	// number was the last.
	Holes bool   `json:"holes,omitempty"`
	Seq   uint64 `json:"seq"`
	ID    uint64 `json:"id"`
}

// numbers is the file of the ceiling. It has two places of a fixed size, which are
// written in turn, in place: a full disk does no harm, and of a torn write the one
// before it is left.
type numbers struct {
	file    *os.File
	last    ceiling
	damaged bool // neither place could be read
}

const placeLen = 512

func openNumbers(dir string) (*numbers, error) {
	path := filepath.Join(dir, "numbers")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, fileMode)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 2*placeLen)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &numbers{file: f}
	readable := n == 0
	for at := 0; at+placeLen <= n; at += placeLen {
		c, err := parseCeiling(buf[at : at+placeLen])
		if err != nil {
			continue
		}
		readable = true
		if c.Write > s.last.Write {
			s.last = c
		}
	}
	s.damaged = !readable
	return s, nil
}

// write makes a ceiling durable.
func (s *numbers) write(c ceiling) error {
	c.Write = s.last.Write + 1
	text, err := formatCeiling(c)
	if err != nil {
		return err
	}
	if _, err := s.file.WriteAt(text, int64(c.Write%2)*placeLen); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.last = c
	return nil
}

// formatCeiling makes one place of the file: a checksum, JSON, blanks and a line
// break.
func formatCeiling(c ceiling) ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	if len(text) > placeLen-sumLen-2 {
		return nil, fmt.Errorf("ceiling: %d bytes are too long", len(text))
	}
	rest := string(text) + strings.Repeat(" ", placeLen-sumLen-2-len(text))
	sum := make([]byte, sumLen)
	putSum(sum, crc32.Checksum([]byte(rest), castagnoli()))
	return []byte(string(sum) + " " + rest + "\n"), nil
}

func parseCeiling(place []byte) (c ceiling, err error) {
	if len(place) != placeLen || place[sumLen] != ' ' {
		return c, errLine
	}
	rest := place[sumLen+1 : placeLen-1]
	sum := make([]byte, sumLen)
	putSum(sum, crc32.Checksum(rest, castagnoli()))
	if string(sum) != string(place[:sumLen]) {
		return c, errLine
	}
	return c, json.Unmarshal(rest, &c)
}

// bootID names this run of the operating system, "" where that can't be known.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

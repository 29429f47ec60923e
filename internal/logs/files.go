//go:build linux

package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The files of a stream: the current one, those before it, and an index of each.
const (
	logSuffix   = ".log"
	indexSuffix = ".idx"
	zstSuffix   = ".zst"
	tempSuffix  = ".tmp"
	dirMode     = 0o700
	fileMode    = 0o600
)

func currentPath(dir, label string) string { return filepath.Join(dir, label+logSuffix) }

func currentIndex(dir, label string) string { return filepath.Join(dir, label+indexSuffix) }

// rotatedName is the name of a file that begins at that offset of its stream.
func rotatedName(label string, base int64) string {
	return fmt.Sprintf("%s.%012d%s", label, base, logSuffix)
}

func rotatedIndex(label string, base int64) string {
	return fmt.Sprintf("%s.%012d%s", label, base, indexSuffix)
}

// segment is a file that is written no more.
type segment struct {
	base   int64
	path   string // of the file as it was written, or compressed
	packed bool
	size   int64 // on the disk
}

// segments are the files before the current one, oldest first.
func segments(dir, label string) []segment {
	var list []segment
	for range looks {
		var whole bool
		if list, whole = listSegments(dir, label); whole {
			break
		}
	}
	return list
}

// listSegments is segments at one look. It is not the whole where one was compressed, or
// given up, while it was looked: its bytes may be under another name by now.
func listSegments(dir, label string) (list []segment, whole bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, true
	}
	whole = true
	for _, e := range entries {
		name := e.Name()
		plain, packed := strings.CutSuffix(name, zstSuffix)
		digits, ok := strings.CutPrefix(plain, label+".")
		digits, ends := strings.CutSuffix(digits, logSuffix)
		base, err := strconv.ParseInt(digits, 10, 64)
		if !ok || !ends || err != nil || digits == "" {
			continue
		}
		info, err := e.Info()
		if err != nil {
			whole = whole && !errors.Is(err, fs.ErrNotExist)
			continue
		}
		s := segment{base: base, path: filepath.Join(dir, name), packed: packed, size: info.Size()}
		if n := len(list); n > 0 && list[n-1].base == base { // being compressed when somebody was killed
			if !packed {
				list[n-1] = s
			}
			continue
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b segment) int { return int(min(max(a.base-b.base, -1), 1)) })
	return list, whole
}

// onDisk is the size of a segment with its index.
func (s *segment) onDisk(label string) int64 {
	info, err := os.Stat(filepath.Join(filepath.Dir(s.path), rotatedIndex(label, s.base)))
	if err != nil {
		return s.size
	}
	return s.size + info.Size()
}

// end is where a segment ends in its stream.
func (s *segment) end(label string) int64 {
	if !s.packed {
		return s.base + s.size
	}
	_, marks, err := readIndexFile(filepath.Join(filepath.Dir(s.path), rotatedIndex(label, s.base)))
	if err == nil && len(marks) > 0 && marks[len(marks)-1].kind == markRotated {
		return marks[len(marks)-1].offset
	}
	p, err := openPacked(s.path)
	if err != nil {
		return s.base
	}
	defer p.Close()
	return s.base + p.size
}

// source is a stream of a slot.
type source struct {
	name  string
	slot  int
	label string
}

func (s source) String() string { return fmt.Sprintf("%s.%d/%s", s.name, s.slot, s.label) }

func (s source) dir(root string) string {
	return filepath.Join(root, s.name+"."+strconv.Itoa(s.slot))
}

// parseSource reads what String has written.
func parseSource(text string) (source, bool) {
	slot, label, ok := strings.Cut(text, "/")
	dot := strings.LastIndexByte(slot, '.')
	if !ok || dot <= 0 || label == "" || strings.ContainsAny(label, "/.@") {
		return source{}, false
	}
	n, err := strconv.Atoi(slot[dot+1:])
	return source{slot[:dot], n, label}, err == nil && n > 0
}

// sources are the streams of which there are files.
func sources(root string) []source {
	dirs, err := os.ReadDir(root)
	if err != nil {
		return nil
	}
	var all []source
	for _, d := range dirs {
		dot := strings.LastIndexByte(d.Name(), '.')
		if dot <= 0 || !d.IsDir() {
			continue
		}
		slot, err := strconv.Atoi(d.Name()[dot+1:])
		if err != nil {
			continue
		}
		files, _ := os.ReadDir(filepath.Join(root, d.Name()))
		seen := map[string]bool{}
		for _, f := range files {
			label, _, ok := strings.Cut(f.Name(), ".")
			if ok && label != "" && !seen[label] && (strings.HasSuffix(f.Name(), logSuffix) || strings.HasSuffix(f.Name(), zstSuffix)) {
				seen[label] = true
				all = append(all, source{d.Name()[:dot], slot, label})
			}
		}
	}
	return all
}

// remove removes a file, or what was made of it meanwhile, and its index.
func remove(path, index string) error {
	var errs []error
	for _, p := range []string{path, path + zstSuffix, index} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

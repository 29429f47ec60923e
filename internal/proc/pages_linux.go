package proc

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DropProgramPages gives back the pages of this program's own file that are in its
// memory: those that are needed come back from the system's cache of the file. What
// only the start needed, and what the kernel brought along with it, stays away.
func DropProgramPages() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer maps.Close()
	for _, m := range droppable(maps, program) {
		// The mappings of a program stay where they are.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED)
	}
}

// mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// droppable are the mappings of a file that can't be written, in a text as that of
// /proc/PID/smaps, of which no page differs from the file: one that does, as the
// relocated ones of some programs do, would be lost.
func droppable(smaps io.Reader, path string) []mapping {
	var all []mapping
	var current mapping
	candidate := false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		if from, to, ok := parseRange(name); ok {
			// Permissions, offset, device and inode have no slash in them.
			rights, _, _ := strings.Cut(rest, " ")
			at := strings.IndexByte(rest, '/')
			candidate = at >= 0 && rest[at:] == path && !strings.Contains(rights, "w")
			current = mapping{from, to}
			continue
		}
		if name == "Anonymous:" && candidate && strings.Fields(rest)[0] == "0" {
			all = append(all, current)
		}
	}
	return all
}

// parseRange reads "00400000-00452000".
func parseRange(s string) (from, to uintptr, ok bool) {
	first, last, found := strings.Cut(s, "-")
	if !found {
		return 0, 0, false
	}
	const bits = int(unsafe.Sizeof(from)) * 8
	a, err := strconv.ParseUint(first, 16, bits)
	b, err2 := strconv.ParseUint(last, 16, bits)
	return uintptr(a), uintptr(b), err == nil && err2 == nil && b > a
}

package proc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// procfs reads /proc without allocating: the paths, the bytes read and all else
// are in buffers that are used again. The descriptor of /proc is all it keeps
// open: descriptors kept for the processes would make each start of a process
// dearer, because they are copied.
type procfs struct {
	dir      int
	path     []byte // of the file being read, below /proc, with a zero after it
	buf      []byte // what was read of it
	entries  []byte // of a directory
	fstat    unix.Stat_t
	statx    unix.Statx_t
	countFDs bool // the size of /proc/PID/fd is how many there are (Linux 6.2)
}

func openProcfs() (*procfs, error) {
	dir, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/proc: %w", err)
	}
	p := &procfs{dir: dir, buf: make([]byte, 4<<10), entries: make([]byte, 16<<10)}
	p.setPath(unix.Getpid(), "fd")
	n, ok := p.size()
	p.countFDs = ok && n > 0 // this program has some
	return p, nil
}

func (p *procfs) close() error { return unix.Close(p.dir) }

// setPath makes pid/name the file that is meant.
func (p *procfs) setPath(pid int, name string) {
	p.path = strconv.AppendInt(p.path[:0], int64(pid), 10)
	p.path = append(p.path, '/')
	p.path = append(p.path, name...)
	p.path = append(p.path, 0)
}

func (p *procfs) open(flags int) (fd int, errno syscall.Errno) {
	r, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(p.dir), uintptr(unsafe.Pointer(&p.path[0])), uintptr(flags|unix.O_CLOEXEC), 0, 0, 0)
	return int(r), errno
}

// size is that of the directory whose path is set.
func (p *procfs) size() (n int, ok bool) {
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(p.dir), uintptr(unsafe.Pointer(&p.path[0])), 0, unix.STATX_SIZE, uintptr(unsafe.Pointer(&p.statx)), 0)
	return int(p.statx.Size), errno == 0
}

// read reads the beginning of a process's file, as much as there is room for. It
// is not ok when the process is gone or the file must not be read.
func (p *procfs) read(pid int, name string) (data []byte, ok bool) {
	p.setPath(pid, name)
	fd, errno := p.open(unix.O_RDONLY)
	if errno != 0 {
		return nil, false
	}
	n, err := unix.Read(fd, p.buf)
	if name == "stat" && err == nil {
		err = unix.Fstat(fd, &p.fstat)
	}
	_ = unix.Close(fd)
	return p.buf[:max(n, 0)], err == nil
}

// stat reads what /proc/PID/stat says, and whose process it is.
func (p *procfs) stat(pid int, s *stat) (uid int, ok bool) {
	data, ok := p.read(pid, "stat")
	if !ok || !parseStat(data, s) {
		return 0, false
	}
	return int(p.fstat.Uid), true
}

// command is the base name of argv[0], "" when the process has none.
func (p *procfs) command(pid int) string {
	data, ok := p.read(pid, "cmdline")
	if !ok {
		return ""
	}
	arg, _, _ := bytes.Cut(data, []byte{0})
	if len(arg) == 0 {
		return ""
	}
	return path.Base(string(arg))
}

// io is how many bytes the process has read from storage and written to it.
func (p *procfs) io(pid int) (read, written int64) {
	read, written = -1, -1
	data, _ := p.read(pid, "io")
	for len(data) > 0 {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte{'\n'})
		name, value, _ := bytes.Cut(line, []byte(": "))
		n, ok := parseInt(value)
		if !ok {
			continue
		}
		switch string(name) {
		case "read_bytes":
			read = n
		case "write_bytes":
			written = n
		}
	}
	return read, written
}

// fds is how many descriptors the process has open, -1 when that must not be known.
func (p *procfs) fds(pid int) int {
	p.setPath(pid, "fd")
	if p.countFDs {
		n, ok := p.size()
		if !ok {
			return -1
		}
		return n
	}
	fd, errno := p.open(unix.O_RDONLY | unix.O_DIRECTORY)
	if errno != 0 {
		return -1
	}
	defer func() { _ = unix.Close(fd) }()
	n := 0
	if err := p.numbers(fd, func(int) { n++ }); err != nil {
		return -1
	}
	return n
}

// pids appends the processes there are, in order.
func (p *procfs) pids(to []int) ([]int, error) {
	if _, err := unix.Seek(p.dir, 0, 0); err != nil {
		return to, fmt.Errorf("/proc: %w", err)
	}
	begin := len(to)
	if err := p.numbers(p.dir, func(pid int) { to = append(to, pid) }); err != nil {
		return to, fmt.Errorf("/proc: %w", err)
	}
	if !slices.IsSorted(to[begin:]) {
		slices.Sort(to[begin:])
	}
	return to, nil
}

// numbers tells of the entries of a directory that are numbers.
func (p *procfs) numbers(dir int, each func(int)) error {
	for {
		n, err := unix.ReadDirent(dir, p.entries)
		if err != nil || n <= 0 {
			return err
		}
		for b := p.entries[:n]; len(b) > 0; {
			// struct linux_dirent64: inode, offset, size of the entry (at 16), type, name (at 19)
			size := binary.NativeEndian.Uint16(b[16:])
			name, _, _ := bytes.Cut(b[19:size], []byte{0})
			if number, ok := parseInt(name); ok {
				each(int(number))
			}
			b = b[size:]
		}
	}
}

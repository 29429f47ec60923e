package proc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What may be done with files: reading executes, too.
const (
	readRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	fileRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE

	oldRights = readRights | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	writeRights = oldRights | unix.LANDLOCK_ACCESS_FS_REFER | unix.LANDLOCK_ACCESS_FS_TRUNCATE
)

// pathRuleSize is that of the kernel's struct landlock_path_beneath_attr, which is
// packed: the rights, then a descriptor.
const pathRuleSize = 12

// What every program needs: the system's own files to read, and the devices that are
// nobody's to write.
var (
	systemPaths = []string{
		"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/proc", "/sys", "/dev",
		"/nix/store", "/gnu/store", "/run/systemd/resolve", "/run/resolvconf", "/run/nscd",
	}
	systemDevices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts"}
)

// landlockABI is the version of Landlock that the kernel has, 0 if it has none.
var landlockABI = sync.OnceValue(func() int {
	n, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(n)
})

// handledRights are those that the kernel knows to refuse.
func handledRights() uint64 {
	rights := uint64(oldRights)
	if landlockABI() >= 2 {
		rights |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if landlockABI() >= 3 {
		rights |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	return rights
}

// ruleset makes the Landlock ruleset of a start.
func (l *launch) ruleset() (fd int, err error) {
	spec := l.spec
	attr := struct{ fs uint64 }{handledRights()} // as the first version has it
	n, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return 0, spec.fault(stepLandlock, errno)
	}
	fd = int(n)
	unix.CloseOnExec(fd)
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	program := spec.Path
	if !filepath.IsAbs(program) {
		program = filepath.Join(spec.Dir, program)
	}
	for _, path := range append([]string{program}, systemPaths...) {
		if err := allow(fd, path, readRights); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.EACCES) {
			return 0, fmt.Errorf("sandbox: %w", err)
		}
	}
	for _, path := range systemDevices {
		_ = allow(fd, path, unix.LANDLOCK_ACCESS_FS_READ_FILE|unix.LANDLOCK_ACCESS_FS_READ_DIR|unix.LANDLOCK_ACCESS_FS_WRITE_FILE|unix.LANDLOCK_ACCESS_FS_TRUNCATE)
	}
	for _, stream := range l.fds {
		if stream >= 0 { // /dev/stdout is a link to one; those without a name are no matter
			_ = allowOpen(fd, stream, unix.LANDLOCK_ACCESS_FS_READ_FILE|unix.LANDLOCK_ACCESS_FS_WRITE_FILE)
		}
	}
	for _, path := range spec.Limits.Read {
		if err := allow(fd, path, readRights); err != nil {
			return 0, fmt.Errorf("sandbox.read_paths: %w", err)
		}
	}
	for _, path := range spec.Limits.Write {
		if err := allow(fd, path, writeRights); err != nil {
			return 0, fmt.Errorf("sandbox.write_paths: %w", err)
		}
	}
	return fd, nil
}

// allow adds to a ruleset what may be done below a path, or with a file.
func allow(rules int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if err := allowOpen(rules, fd, rights); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func allowOpen(rules, fd int, rights uint64) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileRights
	}
	var rule [pathRuleSize]byte
	binary.NativeEndian.PutUint64(rule[:], rights&handledRights())
	binary.NativeEndian.PutUint32(rule[8:], uint32(fd))
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// spawnBy has a spawner start l, with what its limits need opened.
func (l *launch) spawnBy(s spawner) (pid, pidfd int, err error) {
	limits := l.spec.Limits
	if limits == nil {
		return s.spawn(l)
	}
	if limits.Cgroup != "" && l.cgroup < 0 {
		fd, err := unix.Open(limits.Cgroup, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, -1, l.spec.fault(stepCgroup, errnoOf(err))
		}
		l.cgroup = fd
		defer unix.Close(fd)
	}
	if limits.Landlock {
		if l.rules, err = l.ruleset(); err != nil {
			return 0, -1, err
		}
		defer unix.Close(l.rules)
	}
	return s.spawn(l)
}

// tmpDirs are the directories for temporary files; one that is a link to the other, or
// is not there, is left out.
var tmpDirs = sync.OnceValue(func() []string {
	dirs := []string{"/tmp"}
	if real, err := filepath.EvalSymlinks("/var/tmp"); err == nil && real != "/tmp" && !strings.HasPrefix(real, "/tmp/") {
		dirs = append(dirs, "/var/tmp")
	}
	return dirs
})

const tmpOptions = "mode=1777"

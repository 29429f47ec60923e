package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// keptLeaves is how many empty cgroups are kept for the next starts: making and
// removing one costs a third of a start.
const keptLeaves = 1024

// cgroups gives each process a cgroup of its own, below the one this program is
// in, so that none of its descendants can get away.
//
// mu guards free and made.
type cgroups struct {
	base string // our directory; the leaves are in it
	path string // the same, as /proc/PID/cgroup has it

	mu   sync.Mutex
	free []*leaf
	made int
}

// leaf is the cgroup of one process.
type leaf struct {
	dir     string
	limited bool // it has limits, is one process's alone and goes with it
	// killed says that the kernel was told to kill everything in it. Since 6.14 some
	// kernels then go on killing whatever is started in it: it can't be used again.
	killed atomic.Bool
}

// newCgroups finds this program's place in the cgroup v2 tree and makes a
// directory there. The error says why that can't be done.
func newCgroups() (*cgroups, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	path, err := parseMembership(string(membership))
	if err != nil {
		return nil, err
	}
	own, err := ownCgroup(string(mounts), path)
	if err != nil {
		return nil, err
	}
	removeStale(own)
	base, err := os.MkdirTemp(own, fmt.Sprintf("gaffer-%d-", os.Getpid()))
	if err != nil {
		return nil, err
	}
	return &cgroups{base: base, path: filepath.Join(path, filepath.Base(base))}, nil
}

// removeStale removes what programs that were killed have left in dir, where
// nothing lives any more.
func removeStale(dir string) {
	for _, sub := range subgroups(dir) {
		var pid, n int
		if _, err := fmt.Sscanf(filepath.Base(sub), "gaffer-%d-%d", &pid, &n); err != nil {
			continue
		}
		if _, there := readKin(pid); !there && emptyCgroup(sub) {
			removeCgroup(sub)
		}
	}
}

// parseMembership finds the cgroup v2 in a text like that of /proc/self/cgroup.
func parseMembership(text string) (string, error) {
	for line := range strings.Lines(text) {
		path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if ok && strings.HasPrefix(path, "/") {
			return path, nil
		}
	}
	return "", errors.New("no cgroup v2")
}

// ownCgroup is the directory of the cgroup v2 with that path, according to a text
// like that of /proc/self/mountinfo.
func ownCgroup(mountinfo, path string) (string, error) {
	if path == "/.." || strings.HasPrefix(path, "/../") {
		return "", fmt.Errorf("cgroup %s: not in the tree that is visible here", path)
	}
	for line := range strings.Lines(mountinfo) {
		root, mountpoint, ok := parseCgroupMount(line)
		if !ok {
			continue
		}
		if below, ok := cutRoot(path, root); ok {
			return filepath.Join(mountpoint, below), nil
		}
	}
	return "", errors.New("no cgroup v2 is mounted")
}

// parseCgroupMount reads a line of mountinfo: the fourth and fifth word are the
// root and the mount point, the word after a lone hyphen is the type.
func parseCgroupMount(line string) (root, mountpoint string, ok bool) {
	words := strings.Fields(line)
	for i := 6; i+1 < len(words); i++ {
		if words[i] == "-" {
			return unescapeMount(words[3]), unescapeMount(words[4]), words[i+1] == "cgroup2"
		}
	}
	return "", "", false
}

// unescapeMount undoes what mountinfo does to blanks and backslashes: \040.
func unescapeMount(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// cutRoot is path seen from root, if it is below it.
func cutRoot(path, root string) (string, bool) {
	if root == "/" {
		return path, true
	}
	below, ok := strings.CutPrefix(path, root)
	return below, ok && (below == "" || below[0] == '/')
}

// take returns an empty leaf and a descriptor of its directory, to be closed
// after the start.
func (c *cgroups) take() (*leaf, int, error) {
	l, err := c.next()
	if err != nil {
		return nil, -1, err
	}
	fd, err := unix.Open(l.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("cgroup %s: %w", l.dir, err)
	}
	return l, fd, nil
}

func (c *cgroups) next() (*leaf, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.free); n > 0 {
		l := c.free[n-1]
		c.free = c.free[:n-1]
		return l, nil
	}
	l := &leaf{dir: c.base + "/" + strconv.Itoa(c.made)}
	if err := unix.Mkdir(l.dir, 0o755); err != nil {
		return nil, fmt.Errorf("cgroup %s: %w", l.dir, err)
	}
	c.made++
	return l, nil
}

// put takes back a leaf that is empty, for another process or to remove it.
func (c *cgroups) put(l *leaf) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.free) < keptLeaves && !l.killed.Load() {
		c.free = append(c.free, l)
		return
	}
	_ = unix.Rmdir(l.dir) // what stays is removed by close
}

// holds says whether a process, perhaps a dead one, is in one of the leaves.
func (c *cgroups) holds(pid int) bool {
	var buf [4096]byte
	text, err := readProc("/proc/"+strconv.Itoa(pid)+"/cgroup", buf[:])
	if err != nil {
		return false
	}
	path, err := parseMembership(string(text))
	return err == nil && strings.HasPrefix(path, c.path+"/")
}

// close removes all leaves that are empty.
func (c *cgroups) close() {
	removeCgroup(c.base)
}

const (
	// removeTries is how often to try to remove a cgroup: who has just died can
	// still be in it for a moment.
	removeTries = 20
	removeAgain = 2 * time.Millisecond
)

// removeCgroup removes a directory with all below it. The files in it are the
// kernel's and go with it.
func removeCgroup(dir string) {
	for _, sub := range subgroups(dir) {
		removeCgroup(sub)
	}
	for range removeTries {
		if unix.Rmdir(dir) != unix.EBUSY || !emptyCgroup(dir) {
			return
		}
		time.Sleep(removeAgain)
	}
}

func subgroups(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var subs []string
	for _, e := range entries {
		if e.IsDir() {
			subs = append(subs, filepath.Join(dir, e.Name()))
		}
	}
	return subs
}

// empty says whether nothing lives in the leaf and below it.
func (l *leaf) empty() bool { return emptyCgroup(l.dir) }

func emptyCgroup(dir string) bool {
	var buf [128]byte
	events, err := readProc(dir+"/cgroup.events", buf[:])
	if errors.Is(err, unix.ENOENT) || bytes.Contains(events, []byte("populated 0\n")) {
		return true
	}
	if err != nil {
		return false // it was not possible to look
	}
	return len(members(dir)) == 0 // newer kernels count the dying for a moment
}

// members are the processes in the leaf and below it.
func (l *leaf) members() []int { return members(l.dir) }

func members(dir string) []int {
	pids := childList(dir + "/cgroup.procs")
	for _, sub := range subgroups(dir) {
		pids = append(pids, members(sub)...)
	}
	return pids
}

// kill ends all members at once, where the kernel can (since 5.14).
func (l *leaf) kill() {
	fd, err := unix.Open(l.dir+"/cgroup.kill", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	l.killed.Store(true)
	_, _ = unix.Write(fd, []byte("1"))
}

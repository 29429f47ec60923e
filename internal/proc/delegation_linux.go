package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// delegation is the part of the cgroup v2 tree that this program may arrange: where
// cgroups with limits are made.
//
// mu guards what is below it.
type delegation struct {
	dir  string
	none error // why there is none
	move bool  // what is in dir has to leave it before it may have controllers

	mu      sync.Mutex
	swept   map[string]bool // what earlier programs have left, by the prefix of its name
	unnamed atomic.Uint64
}

// selfGroup is the cgroup that whatever was in a delegated one is moved to.
const selfGroup = "gaffer-self"

// delegated is this program's delegation.
var delegated = sync.OnceValue(func() *delegation {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return &delegation{none: err}
	}
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return &delegation{none: err}
	}
	path, err := parseMembership(string(membership))
	if err != nil {
		return &delegation{none: err}
	}
	own, err := ownCgroup(string(mounts), path)
	if err != nil {
		return &delegation{none: err}
	}
	return findDelegation(own, path, isMarked)
})

// findDelegation is what may be arranged from the cgroup own, whose path in the tree
// that is visible here is given. The root of the whole tree is its owner's; that of a
// container is the container's; any other has to be marked as delegated, which systemd
// does.
func findDelegation(own, path string, marked func(dir string) bool) *delegation {
	parent := filepath.Dir(own)
	_, err := os.Stat(own + "/cgroup.type")
	switch {
	case path == "/" && errors.Is(err, os.ErrNotExist):
		return &delegation{dir: own}
	case path == "/" || marked(own):
		return &delegation{dir: own, move: true}
	case path == "/"+selfGroup || filepath.Dir(path) != "/" && marked(parent):
		return &delegation{dir: parent, move: true}
	}
	return &delegation{none: fmt.Errorf("cgroup %s was not delegated to gaffer (systemd does that with Delegate=yes)", path)}
}

// isMarked says whether systemd has marked a cgroup as delegated.
func isMarked(dir string) bool {
	var value [8]byte
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		if n, err := unix.Getxattr(dir, name, value[:]); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

// lack is why a controller can't be had, nil if it can.
func (d *delegation) lack(controller string) error {
	const way = "; max_memory restarts what uses too much memory anywhere"
	hint := ""
	if controller == "memory" {
		hint = way
	}
	if d.none != nil {
		return fmt.Errorf("needs cgroup v2: %w%s", d.none, hint)
	}
	text, err := os.ReadFile(d.dir + "/cgroup.controllers")
	if err != nil {
		return fmt.Errorf("needs cgroup v2: %w%s", err, hint)
	}
	if !slices.Contains(strings.Fields(string(text)), controller) {
		return fmt.Errorf("needs cgroup v2 with the controller %s, which %s does not have%s", controller, d.dir, hint)
	}
	if err := unix.Access(d.dir+"/cgroup.subtree_control", unix.W_OK); err != nil {
		return fmt.Errorf("needs cgroup v2: %s can't be written: %w%s", d.dir, err, hint)
	}
	return nil
}

// enable has the cgroups below d have controllers.
func (d *delegation) enable(controllers []string) error {
	control := d.dir + "/cgroup.subtree_control"
	text, err := os.ReadFile(control)
	if err != nil {
		return err
	}
	var missing []string
	for _, c := range controllers {
		if !slices.Contains(strings.Fields(string(text)), c) {
			missing = append(missing, "+"+c)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if d.move {
		if err := d.vacate(); err != nil {
			return err
		}
	}
	return os.WriteFile(control, []byte(strings.Join(missing, " ")), 0o644)
}

// vacateRounds is how often it is looked again for processes that were started
// meanwhile.
const vacateRounds = 20

// vacate moves what is in d's cgroup into one below it: the kernel gives no controllers
// to what is below a cgroup with processes.
func (d *delegation) vacate() error {
	self := filepath.Join(d.dir, selfGroup)
	if err := unix.Mkdir(self, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("cgroup %s: %w", self, err)
	}
	for range vacateRounds {
		pids := childList(d.dir + "/cgroup.procs")
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			err := os.WriteFile(self+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0o644)
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("cgroup %s: process %d: %w", self, pid, err)
			}
		}
	}
	return fmt.Errorf("cgroup %s: new processes keep coming", d.dir)
}

// leafName is the name of the cgroup of a process with that token.
func (d *delegation) leafName(token string) string {
	_, mark, _ := strings.Cut(token, "=")
	if mark == "" {
		mark = fmt.Sprintf("%d-%d.0", os.Getpid(), d.unnamed.Add(1))
	}
	return "gaffer-" + strings.ReplaceAll(mark, "/", "_")
}

// leaf makes a cgroup with limits. The error names the field that it is about.
func (d *delegation) leaf(token string, limits *Limits) (*leaf, error) {
	if d.none != nil {
		return nil, fmt.Errorf("limits: %w", d.none)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.enable(limits.controllers()); err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	name := d.leafName(token)
	d.sweep(name)
	l := &leaf{dir: filepath.Join(d.dir, name), limited: true}
	if err := unix.Mkdir(l.dir, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("limits: cgroup %s: %w", l.dir, err)
	}
	if err := limits.write(l.dir); err != nil {
		_ = unix.Rmdir(l.dir)
		return nil, err
	}
	return l, nil
}

// sweep removes, once, the empty cgroups of processes of earlier programs of the
// same instance.
func (d *delegation) sweep(name string) {
	prefix := name[:strings.LastIndexByte(name, '.')+1]
	if prefix == "" || d.swept[prefix] {
		return
	}
	if d.swept == nil {
		d.swept = map[string]bool{}
	}
	d.swept[prefix] = true
	for _, dir := range subgroups(d.dir) {
		if strings.HasPrefix(filepath.Base(dir), prefix) {
			_ = unix.Rmdir(dir) // which the kernel refuses while something lives in it
		}
	}
}

// Arrange has cgroups with l's limits be possible, and tells what can't be, beside what
// is known to be lacking.
func (l *Limits) Arrange(known []Lack) (lacks []Lack) {
	d := delegated()
	for _, c := range l.controllers() {
		field := "limits." + c
		if d.none != nil || slices.ContainsFunc(known, func(k Lack) bool { return k.Field == field }) {
			continue
		}
		d.mu.Lock()
		err := d.enable([]string{c})
		d.mu.Unlock()
		if err != nil {
			lacks = append(lacks, Lack{field, err})
		}
	}
	return lacks
}

// controllers are those that the limits need.
func (l *Limits) controllers() (list []string) {
	for name, n := range map[string]uint64{"memory": l.Memory, "cpu": l.CPU, "pids": l.Pids} {
		if n > 0 {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// write writes the limits of a cgroup.
func (l *Limits) write(dir string) error {
	file := func(field, name, text string) error {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		return nil
	}
	if l.Memory > 0 {
		// All of it ends together: half a service is none.
		if err := errors.Join(
			file("limits.memory", "memory.max", strconv.FormatUint(l.Memory, 10)),
			file("limits.memory", "memory.oom.group", "1"),
		); err != nil {
			return err
		}
	}
	if l.CPU > 0 {
		if err := file("limits.cpu", "cpu.max", fmt.Sprintf("%d %d", l.CPU, CPUPeriod)); err != nil {
			return err
		}
	}
	if l.Pids > 0 {
		return file("limits.pids", "pids.max", strconv.FormatUint(l.Pids, 10))
	}
	return nil
}

// oomKills is how many processes in the leaf were killed for want of memory.
func (l *leaf) oomKills() int {
	var buf [512]byte
	text, err := readProc(l.dir+"/memory.events", buf[:])
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if number, found := strings.CutPrefix(line, "oom_kill "); found {
			n, _ := strconv.Atoi(strings.TrimSpace(number)) // 0 if it is none
			return n
		}
	}
	return 0
}

// limitedLeaf makes the cgroup of a process with limits that need one, and returns the
// spec with its place; nil where none is needed.
func limitedLeaf(spec *Spec) (*Spec, *leaf, error) {
	if spec.Limits != nil && spec.Limits.Cgroup != "" {
		return spec, &leaf{dir: spec.Limits.Cgroup, limited: true}, nil
	}
	if !spec.Limits.grouped() {
		return spec, nil, nil
	}
	l, err := delegated().leaf(spec.Token, spec.Limits)
	if err != nil {
		return nil, nil, err
	}
	return spec.in(l), l, nil
}

// in is spec, to be started in a cgroup.
func (spec *Spec) in(l *leaf) *Spec {
	there, limits := *spec, *spec.Limits
	limits.Cgroup = l.dir
	there.Limits = &limits
	return &there
}

// limitedLeafOf finds the cgroup with limits that a process of an earlier program is in.
func limitedLeafOf(pid int, token string) *leaf {
	var buf [4096]byte
	text, err := readProc("/proc/"+strconv.Itoa(pid)+"/cgroup", buf[:])
	if err != nil {
		return nil
	}
	path, err := parseMembership(string(text))
	d := delegated()
	if err != nil || d.none != nil || token == "" || filepath.Base(path) != d.leafName(token) {
		return nil
	}
	return &leaf{dir: filepath.Join(d.dir, filepath.Base(path)), limited: true}
}

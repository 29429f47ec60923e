//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// baseline is the contestant that the others are compared with.
const baseline = "baseline"

// contestant is something that can keep children running.
type contestant struct {
	name string
	note string         // what a reader has to know about its figures
	ours bool           // a failure of it is a failure of the run
	most int            // children it can hold; 0: no limit of its own
	fds  int            // descriptors that one of its processes holds per child
	stop syscall.Signal // what asks it to stop everything and leave

	// needs names the programs that have to be installed.
	needs []string
	// logged says whether all that w's children write is in files; nil: it is never.
	logged func(dir string, w work) bool
	daemon bool // it is a gaffer daemon: there is an API, and a manager to kill
	// prepare writes what it has to know into dir and returns its command.
	prepare func(dir string, w work) ([]string, error)
}

// work is what a contestant is to keep running: n children, numbered from 1.
type work struct {
	n     int
	child string // program
	mode  string // its first argument, see child.c
	lines int    // that each writes; 0: none
	board string
}

// args is the command of child i.
func (w work) args(i string) []string { return []string{w.child, w.mode, i, w.board} }

// contestants lists all, given where our own programs are. gaffer is empty when
// it could not be built.
func contestants(p programs) []contestant {
	return []contestant{
		{name: baseline, ours: true, fds: 3, stop: syscall.SIGTERM, needs: []string{p.baseline},
			note: "a loop in C: vfork, execve, pidfd, epoll, two pipes a child (bench/baseline.c)",
			prepare: func(dir string, w work) ([]string, error) {
				argv := []string{p.baseline, fmt.Sprint(w.n), w.child, w.mode, w.board}
				if w.lines > 0 {
					argv = append(argv, filepath.Join(dir, "log"))
				}
				return argv, nil
			},
			logged: func(dir string, w work) bool {
				info, err := os.Stat(filepath.Join(dir, "log"))
				return err == nil && info.Size() == int64(w.n*w.lines*lineSize)
			}},
		{name: "gaffer", ours: true, fds: 3, stop: syscall.SIGTERM, needs: []string{p.gaffer},
			note: "gaffer up, a template per child, stdout and stderr captured",
			prepare: func(dir string, w work) ([]string, error) {
				return gafferUp(p.gaffer, dir, manyTemplates(w))
			}},
		{name: "gaffer-one", ours: true, fds: 3, stop: syscall.SIGTERM, needs: []string{p.gaffer},
			note: "gaffer up, all children from one template",
			prepare: func(dir string, w work) ([]string, error) {
				return gafferUp(p.gaffer, dir, oneTemplate(w))
			}},
		{name: "daemon", ours: true, fds: 3, stop: syscall.SIGTERM, needs: []string{p.gaffer}, daemon: true,
			note: "gaffer daemon: holder, manager and spawner, a template per child, stdout and stderr into log files",
			prepare: func(dir string, w work) ([]string, error) {
				return gafferDaemon(p.gaffer, dir, manyTemplates(w))
			}, logged: gafferLogged},
		{name: "daemon-direct", ours: true, fds: 3, stop: syscall.SIGTERM, needs: []string{p.gaffer}, daemon: true,
			note: "the same as one process, whose end its services do not outlive",
			prepare: func(dir string, w work) ([]string, error) {
				return gafferDaemon(p.gaffer, dir, "[daemon]\nhost='direct'\n"+manyTemplates(w))
			}, logged: gafferLogged},
		{name: "supervisor", fds: 3, stop: syscall.SIGTERM, needs: []string{"supervisord"},
			note:    "stdout and stderr captured and dropped, startsecs 0, all in one group so that they stop together; log files without rotation where output is measured",
			prepare: supervisor, logged: endsWithLast(func(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("p%d.log", i)) })},
		{name: "runit", most: 1000, stop: syscall.SIGHUP, needs: []string{"runsvdir", "runsv", "sh"},
			note:    "./run is a shell script, nothing captured (no svlogd); runsvdir holds 1,000 at most",
			prepare: runit},
		{name: "s6", stop: syscall.SIGTERM, needs: []string{"s6-svscan", "s6-supervise", "sh"},
			note:    "./run is a shell script, nothing captured (no s6-log); waits for a second before each restart",
			prepare: s6},
	}
}

// missing names the first program that c needs and that is not there.
func (c contestant) missing() string {
	for _, name := range c.needs {
		if name == "" {
			return "its program"
		}
		if _, err := exec.LookPath(name); err != nil {
			return name
		}
	}
	return ""
}

// tooMany says why c cannot hold n children here, or nothing.
func (c contestant) tooMany(n int) string {
	var limit syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	switch need := c.fds*n + 100; {
	case c.most > 0 && n > c.most:
		return fmt.Sprintf("holds %d at most", c.most)
	case uint64(need) > limit.Cur:
		return fmt.Sprintf("needs %d descriptors, may have %d (ulimit -n)", need, limit.Cur)
	}
	return ""
}

func gafferUp(bin, dir, config string) ([]string, error) {
	path := filepath.Join(dir, "gaffer.toml")
	return []string{bin, "up", "--config", path}, os.WriteFile(path, []byte(config), 0o600)
}

func gafferDaemon(bin, dir, config string) ([]string, error) {
	path := filepath.Join(dir, "gaffer.toml")
	if err := inMemory(runtimeOf(dir)); err != nil {
		return nil, err
	}
	return []string{bin, "daemon", "--config", path, "--state-dir", filepath.Join(dir, "state"), "--runtime-dir", runtimeOf(dir)},
		os.WriteFile(path, []byte(config), 0o600)
}

// runtimeOf is the runtime directory of a daemon.
func runtimeOf(dir string) string { return filepath.Join(dir, "run") }

// inMemory makes a directory that is in memory, where there is such a file system, as
// /run is.
func inMemory(path string) error {
	dir, err := os.MkdirTemp("/dev/shm", "gaffer-bench-")
	if err != nil {
		return os.Mkdir(path, 0o700)
	}
	return os.Symlink(dir, path)
}

// lineSize is the length of each line that a child writes (child.c).
const lineSize = 100

// gafferLogged says whether the last line of each child is in its log file.
var gafferLogged = endsWithLast(func(dir string, i int) string {
	return filepath.Join(dir, "state", "logs", fmt.Sprintf("p%d.1", i), "stdout.log")
})

// endsWithLast says of children that have a log file each whether it ends with the
// last line.
func endsWithLast(path func(dir string, i int) string) func(string, work) bool {
	return func(dir string, w work) bool {
		for i := range w.n {
			if !hasLast(path(dir, i+1)) {
				return false
			}
		}
		return true
	}
}

func hasLast(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	if _, err := f.Seek(-lineSize, io.SeekEnd); err != nil {
		return false
	}
	word := make([]byte, len(lastWord))
	_, err = io.ReadFull(f, word)
	return err == nil && string(word) == lastWord
}

// lastWord is what the last line of a child begins with (child.c).
const lastWord = "LAST"

// process is one table of gaffer.toml, as short as it can be: there are
// thousands, and a file has a limit. Back-off is off, so that restarts cost what
// they cost.
func process(name string, args []string) string {
	return fmt.Sprintf("[process.%s]\ncmd='%s'\nargs=['%s']\nbackoff={first=\"0s\"}\n",
		name, args[0], strings.Join(args[1:], "','"))
}

func manyTemplates(w work) string {
	if w.n == 0 {
		return oneTemplate(w)
	}
	var b strings.Builder
	for i := range w.n {
		b.WriteString(process(fmt.Sprintf("p%d", i+1), w.args(fmt.Sprint(i+1))))
	}
	return b.String()
}

func oneTemplate(w work) string {
	return process("p", w.args("$GAFFER_SLOT")) + fmt.Sprintf("numprocesses=%d\n", w.n)
}

func supervisor(dir string, w work) ([]string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "[supervisord]\nnodaemon=true\nlogfile=%[1]s/log\npidfile=%[1]s/pid\nchildlogdir=%[1]s\n\n", dir)
	names := make([]string, w.n)
	for i := range names {
		names[i] = fmt.Sprintf("p%d", i+1)
		file := "NONE"
		if w.lines > 0 {
			file = filepath.Join(dir, names[i]+".log") + "\nstdout_logfile_maxbytes=0"
		}
		fmt.Fprintf(&b, "[program:%s]\ncommand=%s\nautorestart=true\nstartsecs=0\nstdout_logfile=%s\nstderr_logfile=NONE\n\n",
			names[i], strings.Join(w.args(fmt.Sprint(i+1)), " "), file)
	}
	if w.n > 0 {
		fmt.Fprintf(&b, "[group:all]\nprograms=%s\n", strings.Join(names, ","))
	}
	path := filepath.Join(dir, "supervisord.conf")
	return []string{"supervisord", "-n", "-c", path}, os.WriteFile(path, []byte(b.String()), 0o600)
}

func runit(dir string, w work) ([]string, error) {
	services, err := serviceDirs(dir, w)
	return []string{"runsvdir", "-P", services}, err
}

func s6(dir string, w work) ([]string, error) {
	services, err := serviceDirs(dir, w)
	return []string{"s6-svscan", "-c", fmt.Sprint(max(2*w.n, 1000)), services}, err
}

// serviceDirs makes a directory with a ./run for each child.
func serviceDirs(dir string, w work) (string, error) {
	services := filepath.Join(dir, "services")
	if err := os.Mkdir(services, 0o700); err != nil {
		return "", fmt.Errorf("services: %w", err)
	}
	for i := range w.n {
		service := filepath.Join(services, fmt.Sprintf("p%d", i+1))
		run := "#!/bin/sh\nexec " + strings.Join(w.args(fmt.Sprint(i+1)), " ") + "\n"
		if err := os.Mkdir(service, 0o700); err != nil {
			return "", fmt.Errorf("services: %w", err)
		}
		if err := os.WriteFile(filepath.Join(service, "run"), []byte(run), 0o700); err != nil {
			return "", fmt.Errorf("services: %w", err)
		}
	}
	return services, nil
}

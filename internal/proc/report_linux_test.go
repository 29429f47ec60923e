package proc

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// surroundings are what a started program finds itself in.
type surroundings struct {
	UID, EUID, GID, EGID int
	Groups               []int
	Dir                  string
	Args, Env            []string
	Files                map[int]string // by descriptor
	Session, Group, PID  int
	Blocked, Ignored     []string
}

// report prints the surroundings as JSON.
func report(args []string) int {
	s := surroundings{
		UID: os.Getuid(), EUID: os.Geteuid(), GID: os.Getgid(), EGID: os.Getegid(),
		Args: args, Env: os.Environ(), Files: map[int]string{}, PID: os.Getpid(), Group: unix.Getpgrp(),
	}
	s.Groups, _ = os.Getgroups()
	s.Dir, _ = os.Getwd()
	s.Session, _ = unix.Getsid(0)
	s.Files = inheritedFiles()
	s.Blocked, s.Ignored = signalSets()
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		return 1
	}
	return 0
}

// inheritedFiles are the open descriptors that were not opened by this program:
// what the Go runtime opens for itself is closed when another is executed.
func inheritedFiles() map[int]string {
	files := map[int]string{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			files[fd], _ = os.Readlink("/proc/self/fd/" + e.Name())
		}
	}
	return files
}

func signalSets() (blocked, ignored []string) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return nil, nil
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, set, _ := strings.Cut(lines.Text(), ":")
		for _, sig := range signalSet(strings.TrimSpace(set)) {
			switch name {
			case "SigBlk":
				blocked = append(blocked, sig.String())
			case "SigIgn":
				ignored = append(ignored, sig.String())
			}
		}
	}
	return blocked, ignored
}

// surroundingsOf starts spec, which must run report, and returns what it found.
func surroundingsOf(t *testing.T, h *Host, spec *Spec) surroundings {
	t.Helper()
	r := start(t, h, spec)
	if exit := r.await(t); exit.Status != 0 {
		t.Fatalf("exit %+v: %s%s", exit, r.text(Stdout), r.text(Stderr))
	}
	var s surroundings
	if err := json.NewDecoder(strings.NewReader(r.text(Stdout))).Decode(&s); err != nil && err != io.EOF {
		t.Fatalf("%v in %q", err, r.text(Stdout))
	}
	slices.Sort(s.Env)
	return s
}

package proc

import (
	"os"
	"syscall"
	"time"
)

// startLimited starts a process with limits.
func (w *waited) startLimited(spec *Spec, files []*os.File) error {
	spec, leaf, err := limitedLeaf(spec)
	if err != nil {
		return err
	}
	l := launch{spec: spec, cgroup: -1}
	for _, f := range files {
		fd, err := descriptor(f)
		if err != nil {
			return err
		}
		l.fds = append(l.fds, fd)
	}
	_, _, err = l.spawnBy(portableSpawner{w, files})
	if leaf == nil {
		return err
	}
	if err != nil {
		removeCgroup(leaf.dir)
		return err
	}
	w.release = func(e *Exit) {
		leaf.kill()
		for deadline := time.Now().Add(stuckAfter); !leaf.empty() && time.Now().Before(deadline); {
			time.Sleep(removeAgain)
		}
		e.Grouped, e.OutOfMemory = true, leaf.oomKills()
		removeCgroup(leaf.dir)
	}
	return nil
}

// portableSpawner starts a process by the os package.
type portableSpawner struct {
	w     *waited
	files []*os.File
}

func (portableSpawner) close() {}

func (s portableSpawner) spawn(l *launch) (pid, pidfd int, err error) {
	err = l.limited(func(spec *Spec, sys *syscall.SysProcAttr) (int, error) {
		if err := s.w.startAs(spec, s.files, sys); err != nil {
			return 0, err
		}
		return s.w.process.Pid, nil
	})
	if err != nil && s.w.process != nil {
		_, _ = s.w.process.Wait() // it was killed
	}
	return 0, -1, err
}

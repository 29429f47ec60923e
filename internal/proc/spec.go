package proc

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// step is what can go wrong on the way from a fork to a running program.
type step int

const (
	stepFork step = iota
	stepDescriptors
	stepSession
	stepTerminal
	stepSignals
	stepLimits
	stepGroups
	stepGID
	stepUID
	stepDir
	stepPID
	stepExec
)

// fault names what was in the way when step failed for spec.
func (spec *Spec) fault(at step, err syscall.Errno) error {
	if at >= stepPrivateTmp {
		return spec.Limits.fault(at, err)
	}
	switch at {
	case stepDescriptors:
		return fmt.Errorf("descriptors: %w", err)
	case stepSession:
		return fmt.Errorf("session: %w", err)
	case stepTerminal:
		return fmt.Errorf("terminal: %w", err)
	case stepSignals:
		return fmt.Errorf("signals: %w", err)
	case stepLimits:
		return fmt.Errorf("limits: %w", err)
	case stepGroups:
		return fmt.Errorf("groups of user %d: %w", spec.Cred.UID, err)
	case stepGID:
		return fmt.Errorf("group %d: %w", spec.Cred.GID, err)
	case stepUID:
		return fmt.Errorf("user %d: %w", spec.Cred.UID, err)
	case stepDir:
		return fmt.Errorf("directory %s: %w", spec.Dir, err)
	case stepPID:
		return fmt.Errorf("variable %s: /proc/self: %w", spec.OwnPID, err)
	case stepExec:
		return spec.execFault(err)
	default:
		return fmt.Errorf("process: %w", err)
	}
}

// execFault says why a program could not be executed, in words where the error
// number alone would mislead.
func (spec *Spec) execFault(err syscall.Errno) error {
	name := spec.Path
	switch err {
	case syscall.E2BIG:
		size := 0
		for _, s := range spec.Args {
			size += len(s) + 1
		}
		for _, s := range spec.Env {
			size += len(s) + 1
		}
		return fmt.Errorf("program %s: %d bytes of arguments and environment: %w", name, size, err)
	case syscall.ENOENT, syscall.EACCES:
		if interpreter := scriptInterpreter(spec.Dir, name); interpreter != "" {
			return fmt.Errorf("program %s: interpreter %s: %w", name, interpreter, err)
		}
	case syscall.EAGAIN:
		return fmt.Errorf("program %s: too many processes of this user: %w", name, err)
	}
	return fmt.Errorf("program %s: %w", name, err)
}

// check refuses what no spawner could carry out.
func (spec *Spec) check() error {
	if !strings.Contains(spec.Path, "/") {
		return fmt.Errorf("program %q: not a path: %w", spec.Path, syscall.ENOENT)
	}
	if len(spec.Args) == 0 {
		return fmt.Errorf("program %s: no arguments, not even its name: %w", spec.Path, syscall.EINVAL)
	}
	if spec.Outputs < 0 || spec.Outputs > 2 || spec.Streams < 0 {
		return fmt.Errorf("program %s: %d outputs and %d streams: %w", spec.Path, spec.Outputs, spec.Streams, syscall.EINVAL)
	}
	if spec.Limits != nil && len(spec.Limits.Rlimits) > mostRlimits {
		return fmt.Errorf("program %s: %d limits: %w", spec.Path, len(spec.Limits.Rlimits), syscall.EINVAL)
	}
	for _, s := range [...]string{spec.Path, spec.Dir} {
		if strings.IndexByte(s, 0) >= 0 {
			return fmt.Errorf("path %q: zero byte: %w", s, syscall.EINVAL)
		}
	}
	for _, s := range spec.Args {
		if strings.IndexByte(s, 0) >= 0 {
			return fmt.Errorf("argument %q: zero byte: %w", s, syscall.EINVAL)
		}
	}
	for _, s := range spec.Env {
		if strings.IndexByte(s, 0) >= 0 {
			name, _, _ := strings.Cut(s, "=")
			return fmt.Errorf("variable %q: zero byte: %w", name, syscall.EINVAL)
		}
	}
	if strings.ContainsAny(spec.OwnPID, "=\x00") {
		return fmt.Errorf("variable %q: can't be one's name: %w", spec.OwnPID, syscall.EINVAL)
	}
	return nil
}

// withOwnPID is how to start spec where nothing can be written into the environment
// between the fork and the program: a shell, which knows its number, becomes it. The
// shell may leave out variables whose names it can't have itself.
func (spec *Spec) withOwnPID() *Spec {
	if spec.OwnPID == "" {
		return spec
	}
	again := *spec
	again.Path, again.OwnPID = binSh, ""
	again.Args = append([]string{"sh", "-c", spec.OwnPID + `=$$ exec "$0" "$@"`, spec.Path}, spec.Args[1:]...)
	return &again
}

// binSh is every Unix system's shell.
const binSh = "/bin/sh"

// changesUser says whether the caller has to become another one for spec.
// Someone who is not root can only stay what he is.
func (spec *Spec) changesUser() bool {
	if spec.Cred == nil {
		return false
	}
	return os.Geteuid() == 0 || int(spec.Cred.UID) != os.Geteuid() || int(spec.Cred.GID) != os.Getegid()
}

// guessFault is fault for a fork by the syscall package, which gives the number alone.
func (spec *Spec) guessFault(err error) error {
	errno := errnoOf(err)
	switch errno {
	case syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE:
		return spec.fault(stepFork, errno)
	case syscall.EPERM:
		if spec.changesUser() {
			return spec.fault(stepUID, errno)
		}
	}
	if spec.Dir != "" {
		info, err := os.Stat(spec.Dir)
		if err != nil {
			return spec.fault(stepDir, errnoOf(err))
		}
		if !info.IsDir() {
			return spec.fault(stepDir, syscall.ENOTDIR)
		}
	}
	return spec.fault(stepExec, errno)
}

//go:build unix

package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// What has to be done between a fork and the program, where the fork is another
// package's: a shell does it.

// throughShell is spec, started by a shell that sets those limits first which only a
// process itself can set. Its first word is its path then.
func (spec *Spec) throughShell(more ...string) (*Spec, error) {
	lines := more
	for _, r := range spec.Limits.Rlimits {
		line, err := r.shellLine()
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return spec, nil
	}
	if err := spec.checkProgram(); err != nil {
		return nil, err
	}
	there := *spec
	there.Path = "/bin/sh"
	there.Args = append([]string{"sh", "-c", strings.Join(lines, "\n") + "\nexec \"$0\" \"$@\"", spec.Path}, spec.Args[1:]...)
	return &there, nil
}

// failedLimit is the exit status of a shell that could not set a limit.
const failedLimit = 125

// shellLine sets a limit. Both are set, then the soft one is lowered.
func (r *Rlimit) shellLine() (string, error) {
	kind := rlimitKinds[r.Name]
	if kind.shell == "" {
		return "", fmt.Errorf("limits.%s: not without Linux 5.9 or later on amd64 or arm64: %w", r.Name, syscall.ENOTSUP)
	}
	say := func(n uint64) string {
		if n == Unlimited {
			return amount(n)
		}
		return amount(n / kind.unit)
	}
	set := func(letter, quiet string) string {
		line := fmt.Sprintf("ulimit -%s %s%s", letter, say(r.Hard), quiet)
		if r.Soft != r.Hard {
			line += fmt.Sprintf(" && ulimit -S -%s %s%s", letter, say(r.Soft), quiet)
		}
		return line
	}
	line := "{ " + set(kind.shell, "") + "; }"
	if kind.other != "" {
		line = "{ " + set(kind.shell, " 2>/dev/null") + "; } || { " + set(kind.other, "") + "; }"
	}
	return line + fmt.Sprintf(" || { echo 'limits.%s: it can not be set' >&2; exit %d; }", r.Name, failedLimit), nil
}

// checkProgram finds what a shell would find only when it is too late to tell.
func (spec *Spec) checkProgram() error {
	path := spec.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(spec.Dir, path)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return spec.fault(stepExec, errnoOf(err))
	case info.IsDir() || info.Mode().Perm()&0o111 == 0:
		return spec.fault(stepExec, syscall.EACCES)
	}
	return nil
}

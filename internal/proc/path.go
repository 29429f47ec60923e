package proc

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// LookPath finds the program that a Spec with that directory and user would
// execute, and says what would keep it from being executed: it is missing, not a
// file, not executable by cred (nil: the caller), or a script whose interpreter is
// missing. A program with a slash in it is not looked for in path, a list of
// directories in the form of PATH; relative ones are relative to dir, and "" is
// the caller's directory. The answer fits Spec.Path.
func LookPath(program, path, dir string, cred *Cred) (string, error) {
	if program == "" {
		return "", fmt.Errorf("program %q: %w", program, syscall.ENOENT)
	}
	if strings.Contains(program, "/") {
		return program, checkProgram(program, dir, cred)
	}
	var refused error
	for _, element := range filepath.SplitList(path) {
		candidate := filepath.Join(element, program)
		if !strings.Contains(candidate, "/") {
			candidate = "./" + candidate
		}
		err := checkProgram(candidate, dir, cred)
		if err == nil {
			return candidate, nil
		}
		if refused == nil && exists(candidate, dir) {
			refused = err
		}
	}
	if refused != nil {
		return "", refused
	}
	return "", fmt.Errorf("program %s: not found in PATH: %w", program, syscall.ENOENT)
}

// LookDir says what would keep a Spec with that directory and user from being
// started there.
func LookDir(dir string, cred *Cred) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("directory %s: %w", dir, errnoOf(err))
	}
	if !info.IsDir() {
		return fmt.Errorf("directory %s: %w", dir, syscall.ENOTDIR)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("directory %s: %w", dir, errnoOf(err))
	}
	if !reachable(filepath.Join(real, "x"), cred) {
		return fmt.Errorf("directory %s: %w%s", dir, syscall.EACCES, asUser(cred))
	}
	return nil
}

func checkProgram(program, dir string, cred *Cred) error {
	path := program
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("program %s: %w", program, errnoOf(err))
	}
	if info.IsDir() {
		return fmt.Errorf("program %s: %w", program, syscall.EISDIR)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("program %s: not a regular file: %w", program, syscall.EACCES)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("program %s: %w", program, errnoOf(err))
	}
	if !executable(real, info, cred) || !reachable(real, cred) {
		return fmt.Errorf("program %s: not executable%s: %w", program, asUser(cred), syscall.EACCES)
	}
	if interpreter := scriptInterpreter(dir, program); interpreter != "" {
		if !filepath.IsAbs(interpreter) {
			interpreter = filepath.Join(dir, interpreter)
		}
		if _, err := os.Stat(interpreter); err != nil {
			return fmt.Errorf("program %s: interpreter %s: %w", program, interpreter, errnoOf(err))
		}
	}
	return nil
}

func exists(program, dir string) bool {
	if !filepath.IsAbs(program) {
		program = filepath.Join(dir, program)
	}
	info, err := os.Stat(program)
	return err == nil && !info.IsDir()
}

func asUser(cred *Cred) string {
	if cred == nil {
		return ""
	}
	return fmt.Sprintf(" by user %d", cred.UID)
}

// reachable says whether cred may go through all directories above path, which
// is absolute or relative to the caller's directory, and free of links.
func reachable(path string, cred *Cred) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || !executable(dir, info, cred) {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// executable says whether cred may execute a file, or go through a directory.
// Where an access list says more than the mode does, the start has to show it.
func executable(path string, info fs.FileInfo, cred *Cred) bool {
	mode := info.Mode().Perm()
	if cred == nil {
		return mayExecute(path)
	}
	if cred.UID == 0 {
		return info.IsDir() || mode&0o111 != 0
	}
	uid, gid := owner(info)
	bit := fs.FileMode(0o001)
	switch {
	case cred.UID == uid:
		bit = 0o100
	case cred.has(gid):
		bit = 0o010
	}
	return mode&bit != 0 || hasAccessList(path)
}

func (c *Cred) has(gid uint32) bool {
	if c.GID == gid {
		return true
	}
	for _, g := range c.Groups {
		if g == gid {
			return true
		}
	}
	return false
}

// scriptInterpreter is the program that a script's first line names, "" when
// the file is not a script or can't be read.
func scriptInterpreter(dir, program string) string {
	if !filepath.IsAbs(program) {
		program = filepath.Join(dir, program)
	}
	f, err := os.Open(program)
	if err != nil {
		return ""
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 256)) // what the kernel reads of it
	if err != nil {
		return ""
	}
	return interpreterOf(head)
}

// interpreterOf reads the "#!" line at the beginning of a file.
func interpreterOf(head []byte) string {
	line, ok := bytes.CutPrefix(head, []byte("#!"))
	if !ok {
		return ""
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	words := bytes.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(words) == 0 || bytes.IndexByte(words[0], 0) >= 0 {
		return ""
	}
	return string(words[0])
}

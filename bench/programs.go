//go:build linux

package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed child.c
var childSource []byte

//go:embed baseline.c
var baselineSource []byte

// programs are the executables of our own that a run needs.
type programs struct {
	child, baseline string
	gaffer          string // "": it could not be built
	compiler        string
}

// buildPrograms compiles the child and the baseline into dir, without which
// there is nothing to measure.
func buildPrograms(ctx context.Context, dir string) (p programs, err error) {
	p = programs{child: filepath.Join(dir, "child"), baseline: filepath.Join(dir, "baseline")}
	if p.compiler, err = compiler(); err != nil {
		return p, err
	}
	for path, source := range map[string][]byte{p.child: childSource, p.baseline: baselineSource} {
		cmd := exec.CommandContext(ctx, p.compiler, "-O2", "-static", "-s", "-x", "c", "-o", path, "-")
		cmd.Stdin = bytes.NewReader(source)
		if out, err := cmd.CombinedOutput(); err != nil {
			return p, fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
	}
	return p, nil
}

// compiler prefers musl, whose static programs start quickest.
func compiler() (string, error) {
	for _, name := range []string{"musl-gcc", "cc", "gcc", "clang"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no C compiler (musl-gcc, cc, gcc or clang): the child and the baseline are in C; " +
		"on Debian, apt-get install musl-tools")
}

// gafferProgram is the gaffer that was given, or one built into dir.
func gafferProgram(ctx context.Context, dir, given string) (string, error) {
	if given != "" {
		path, err := filepath.Abs(given)
		if err != nil {
			return "", fmt.Errorf("gaffer: %w", err)
		}
		if _, err := exec.LookPath(path); err != nil {
			return "", fmt.Errorf("gaffer: %w", err)
		}
		return path, nil
	}
	path := filepath.Join(dir, "gaffer")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/gafferpm/gaffer/cmd/gaffer")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("gaffer: %s: %w", cmd, err)
	}
	return path, nil
}

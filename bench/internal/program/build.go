//go:build linux

// Package program makes the programs that a benchmark needs: those in C, the
// supervised child with its board, and gaffer itself.
package program

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

// Child is the source of the supervised program, in C.
//
//go:embed child.c
var Child []byte

// Compiler finds a C compiler. It prefers musl, whose static programs start
// quickest.
func Compiler() (string, error) {
	for _, name := range []string{"musl-gcc", "cc", "gcc", "clang"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no C compiler (musl-gcc, cc, gcc or clang): some programs of the benchmark are in C; " +
		"on Debian, apt-get install musl-tools")
}

// Compile makes a static program of a source in C.
func Compile(ctx context.Context, compiler, path string, source []byte) error {
	cmd := exec.CommandContext(ctx, compiler, "-O2", "-static", "-s", "-x", "c", "-o", path, "-")
	cmd.Stdin = bytes.NewReader(source)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// Gaffer is the gaffer that was given, or one built into dir.
func Gaffer(ctx context.Context, dir, given string) (string, error) {
	if given == "" {
		return Go(ctx, dir, "cmd/gaffer")
	}
	path, err := filepath.Abs(given)
	if err != nil {
		return "", fmt.Errorf("gaffer: %w", err)
	}
	if _, err := exec.LookPath(path); err != nil {
		return "", fmt.Errorf("gaffer: %w", err)
	}
	return path, nil
}

// Go builds a program of this module into dir, as it is shipped (make build), and
// returns its path.
func Go(ctx context.Context, dir, folder string) (string, error) {
	path := filepath.Join(dir, filepath.Base(folder))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "github.com/gafferpm/gaffer/"+folder)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w", cmd, err)
	}
	return path, nil
}

//go:build linux

package main

import (
	"context"
	_ "embed"
	"errors"
	"path/filepath"

	"github.com/gafferpm/gaffer/bench/internal/program"
)

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
	if p.compiler, err = program.Compiler(); err != nil {
		return p, err
	}
	return p, errors.Join(
		program.Compile(ctx, p.compiler, p.child, program.Child),
		program.Compile(ctx, p.compiler, p.baseline, baselineSource))
}

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/gafferpm/gaffer/bench/internal/machine"
	"github.com/gafferpm/gaffer/bench/internal/report"
)

// The commands of the ps test, which are its contestants.
const (
	nothing   = "true"
	emptyGo   = "empty Go program"
	psQuick   = "gaffer ps --no-stats"
	psStats   = "gaffer ps"
	apartRuns = 5 * time.Millisecond
)

var commands = []string{nothing, emptyGo, psQuick, psStats}

// spent is what one run of a command took, in milliseconds.
type spent struct{ wall, cpu, server float64 }

// ps measures how long the table of all templates takes. The commands take turns,
// each time in another order.
func (b *bench) ps(ctx context.Context, s *server, random *rand.Rand) error {
	argv := map[string][]string{
		nothing: {"true"},
		emptyGo: {b.programs.empty},
		psQuick: {b.programs.gaffer, "ps", "--no-stats", "--host", "unix://" + s.socket},
		psStats: {b.programs.gaffer, "ps", "--host", "unix://" + s.socket},
	}
	before := machine.Pause(ctx, b.rest, b.quiet)
	runs := make(map[string][]spent)
	for i := range b.runs + 1 {
		for _, k := range random.Perm(len(commands)) {
			name := commands[k]
			took, out, err := s.command(ctx, argv[name])
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if lines := bytes.Count(out, []byte("\n")); len(argv[name]) > 1 && lines < b.templates {
				return fmt.Errorf("%s: %d lines for %d templates", name, lines, b.templates)
			}
			if i > 0 { // the first reads the programs from the disk
				runs[name] = append(runs[name], took)
			}
			machine.Sleep(ctx, apartRuns)
		}
	}
	others := max(before, machine.OthersShare(ctx, look))
	for name, all := range runs {
		b.result.Add(name, others, []report.Figure{
			{Metric: "ps-wall", Value: middle(all, func(s spent) float64 { return s.wall })},
			{Metric: "ps-cpu", Value: middle(all, func(s spent) float64 { return s.cpu })},
			{Metric: "ps-server", Value: middle(all, func(s spent) float64 { return s.server })},
		})
	}
	return nil
}

// command runs a command to its end.
func (s *server) command(ctx context.Context, argv []string) (took spent, out []byte, err error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = s.dir, environment(s.dir)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	cpu, began := s.cpu(), machine.Now()
	out, err = cmd.Output()
	took.wall = float64(machine.Now()-began) / 1e6
	took.server = float64(s.cpu()-cpu) / 1e6
	if err != nil {
		return took, out, errors.Join(err, errors.New(strings.TrimSpace(complaint.String())))
	}
	took.cpu = float64(cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()) / float64(time.Millisecond)
	return took, out, nil
}

func middle(all []spent, of func(spent) float64) float64 {
	values := make([]float64, len(all))
	for i, one := range all {
		values[i] = of(one)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

//go:build linux

// Command bench measures what it costs to keep processes alive: gaffer, a bare
// loop in C, and the supervisors that are installed, in one run on one machine.
// How each figure is got, and how to read it: docs/benchmarks.md.
//
//	go run ./bench                    everything
//	go run ./bench -n 50 -rounds 1 -idle 2
//	go run ./bench -contestants baseline,gaffer -tests replace,crash
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// The tests, in the order in which they are run and printed.
var allTests = []string{"bringup", "replace", "crash", "memory", "idle", "stop", "churn", "logs", "takeover"}

// settings are what the command line says.
type settings struct {
	counts      []int
	rounds      int
	contestants []string // empty: all
	tests       []string
	idle, quiet time.Duration
	json        string
	gaffer      string
	check       bool
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var (
		s                    settings
		counts, names, tests string
		idle, quiet          float64
	)
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&counts, "n", "1000,5000", "numbers of children; restarts, idle time and stop are measured with the first")
	f.IntVar(&s.rounds, "rounds", 3, "how often everything is measured")
	f.StringVar(&names, "contestants", "", "who takes part (default: all that are installed)")
	f.StringVar(&tests, "tests", strings.Join(allTests, ","), "what is measured")
	f.Float64Var(&idle, "idle", 60, "seconds of the idle test, in the first round only")
	f.Float64Var(&quiet, "quiet", 15, "seconds to wait at most for a quiet machine, before each measurement")
	f.StringVar(&s.json, "json", "", "write every single figure to this file")
	f.StringVar(&s.gaffer, "bin", "", "the gaffer to measure (default: built from the source)")
	f.BoolVar(&s.check, "check", false, "exit with 1 when a figure that was asked for is missed")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	for _, word := range strings.Split(counts, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return s, fmt.Errorf("-n: %q is not a number of children", word)
		}
		s.counts = append(s.counts, n)
	}
	if names != "" {
		s.contestants = strings.Split(names, ",")
	}
	s.tests = strings.Split(tests, ",")
	for _, t := range s.tests {
		if !slices.Contains(allTests, t) {
			return s, fmt.Errorf("-tests: no test %q (there are %s)", t, strings.Join(allTests, ", "))
		}
	}
	if s.rounds < 1 || idle <= 0 || quiet < 0 || f.NArg() > 0 {
		return s, errors.New("-rounds and -idle must be positive, and there are no arguments")
	}
	s.idle, s.quiet = seconds(idle), seconds(quiet)
	return s, nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func (s settings) wants(test string) bool { return slices.Contains(s.tests, test) }

func (s settings) takes(contestant string) bool {
	return len(s.contestants) == 0 || slices.Contains(s.contestants, contestant)
}

// run returns the exit status: 0 when the run went through, 1 when it did not
// or, with -check, when a bar was missed, 2 for a wrong command line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	r, err := benchmark(ctx, s, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	missed := r.print(stdout)
	if s.json != "" {
		if err := r.writeJSON(s.json); err != nil {
			fmt.Fprintln(stderr, "bench:", err)
			return 1
		}
	}
	if r.failed || s.check && missed {
		return 1
	}
	return 0
}

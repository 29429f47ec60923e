//go:build linux

// Command daemon measures what it costs to ask the daemon: its API beside a bare
// net/http server that writes the same bytes, gaffer ps beside an empty program,
// streams of events, memory and idleness, in one run on one machine. How each
// figure is got, and how to read it: docs/benchmarks.md.
//
//	go run ./bench/daemon                    everything
//	go run ./bench/daemon -rounds 1 -tests status,ps
//	go run ./bench/daemon -n 50 -seconds 1 -subscribers 20 -events 200 -idle 2
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
	"strings"
	"syscall"
	"time"

	"github.com/gafferpm/gaffer/bench/internal/report"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// The tests, in the order in which they are run and printed.
var allTests = []string{"status", "ps", "events", "memory", "idle"}

// settings are what the command line says.
type settings struct {
	tests       []string
	rounds      int
	templates   int
	connections int
	runs        int
	subscribers int
	eventCount  int
	loadTime    time.Duration
	idle, quiet time.Duration
	rest        time.Duration // after a start or a load, before what the server holds is read
	gaffer      string
	json        string
	check       bool
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var (
		s                 = settings{rest: 3 * time.Second}
		tests             string
		load, idle, quiet float64
	)
	f := flag.NewFlagSet("bench/daemon", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&tests, "tests", strings.Join(allTests, ","), "what is measured")
	f.IntVar(&s.rounds, "rounds", 3, "how often everything is measured")
	f.IntVar(&s.templates, "n", 1000, "templates, of one running child each, of all tests but events")
	f.IntVar(&s.connections, "connections", 16, "keep-alive connections of the status test")
	f.Float64Var(&load, "seconds", 5, "seconds of load of the status test")
	f.IntVar(&s.runs, "runs", 30, "runs of each command of the ps test")
	f.IntVar(&s.subscribers, "subscribers", 1000, "subscribers of the events test; one more never reads")
	f.IntVar(&s.eventCount, "events", 10000, "events of the events test")
	f.Float64Var(&idle, "idle", 60, "seconds of the idle test, in the first round only")
	f.Float64Var(&quiet, "quiet", 15, "seconds to wait at most for a quiet machine, before each measurement")
	f.StringVar(&s.gaffer, "bin", "", "the gaffer to measure (default: built from the source)")
	f.StringVar(&s.json, "json", "", "write every single figure to this file")
	f.BoolVar(&s.check, "check", false, "exit with 1 when a figure that was asked for is missed")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	s.tests = strings.Split(tests, ",")
	for _, t := range s.tests {
		if !slices.Contains(allTests, t) {
			return s, fmt.Errorf("-tests: no test %q (there are %s)", t, strings.Join(allTests, ", "))
		}
	}
	if min(s.rounds, s.templates, s.connections, s.runs, s.subscribers, s.eventCount) < 1 ||
		min(load, idle) <= 0 || quiet < 0 || f.NArg() > 0 {
		return s, errors.New("numbers and times must be positive, and there are no arguments")
	}
	s.loadTime, s.idle, s.quiet = seconds(load), seconds(idle), seconds(quiet)
	return s, nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func (s settings) wants(test string) bool { return slices.Contains(s.tests, test) }

// run returns the exit status: 0 when the run went through, 1 when it did not
// or, with -check, when a bar was missed, 2 for a wrong command line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "bench/daemon:", err)
		return 2
	}
	r, err := benchmark(ctx, s, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "bench/daemon:", err)
		return 1
	}
	missed := r.print(stdout)
	if s.json != "" {
		if err := report.Write(s.json, r.all()); err != nil {
			fmt.Fprintln(stderr, "bench/daemon:", err)
			return 1
		}
	}
	if len(r.notes) > 0 || s.check && missed {
		return 1
	}
	return 0
}

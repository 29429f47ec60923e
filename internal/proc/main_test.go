package proc

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
)

// programs are what the tests start: this test binary, under another name in
// GAFFER_TEST_PROGRAM. A program that no test starts fails the run.
var programs map[string]func(args []string) int

const programVariable = "GAFFER_TEST_PROGRAM"

// started records the programs that tests have asked for.
var started sync.Map

// mainThread are functions to be called on this program's main thread.
var mainThread = lockMainThread()

// lockMainThread is called before main, which is on the main thread.
func lockMainThread() chan func() {
	runtime.LockOSThread()
	return make(chan func())
}

func TestMain(m *testing.M) {
	programs = testPrograms()
	if name := os.Getenv(programVariable); name != "" {
		program, ok := programs[name]
		if !ok {
			fmt.Fprintf(os.Stderr, "program %q: not found\n", name)
			os.Exit(99)
		}
		os.Exit(program(os.Args[1:]))
	}
	status := 0
	go func() {
		defer close(mainThread)
		status = m.Run()
	}()
	for f := range mainThread {
		f()
	}
	if status == 0 && wholeRun() {
		status = unusedPrograms()
	}
	os.Exit(status)
}

// wholeRun says whether all tests were run: then all programs must have been used.
func wholeRun() bool {
	for _, name := range [...]string{"run", "skip", "bench", "fuzz", "list"} {
		if flag.Lookup("test."+name).Value.String() != "" {
			return false
		}
	}
	return !testing.Short()
}

func unusedPrograms() int {
	status := 0
	for name := range programs {
		if _, ok := started.Load(name); !ok {
			fmt.Fprintf(os.Stderr, "program %q: no test starts it\n", name)
			status = 1
		}
	}
	return status
}

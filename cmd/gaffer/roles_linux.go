package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/gafferpm/gaffer/internal/holder"
)

// The roles of this program that are no commands: who runs the daemon starts them, with
// arguments of their own. They are told apart before anything else is looked at, since
// two of them are to stay small.
const (
	roleHolder  = "holder"
	roleManager = "manager"
	roleSpawner = "spawner"
)

// canHold says that the daemon's services can be another process's.
const canHold = true

// play plays the role that the arguments name, if they name one, and returns the exit
// status.
func play(args []string) (status int, played bool) {
	if len(args) < 3 || args[0] != "daemon" {
		return 0, false
	}
	switch args[1] {
	case roleSpawner:
		fd, err := strconv.Atoi(args[2])
		if err == nil {
			err = runAside(func() error { return holder.RunSpawner(fd) })
		}
		return ended(roleSpawner, err), true
	case roleHolder:
		return playHolder(args[2:]), true
	case roleManager:
		return execute(args[2:]), true
	}
	return 0, false
}

const (
	// checkHanded has a program only look at what a running holder would hand over.
	checkHanded = "check"
	// handed stands before the descriptor of what the holder before has handed over.
	handed = "handed="
)

// playHolder wants the descriptor of who waits for the daemon, or 0, and the arguments
// of the daemon.
func playHolder(args []string) int {
	if args[0] == checkHanded {
		return ended(roleHolder, holder.Check(os.Stdin, os.Stdout))
	}
	if len(args) < 2 {
		return ended(roleHolder, fmt.Errorf("it is started by gaffer daemon"))
	}
	o := holder.Options{
		Manager: slices.Concat([]string{"daemon", roleManager}, args[1:], []string{"--holder-fd"}),
		Spawner: []string{"daemon", roleSpawner},
		Check:   []string{"daemon", roleHolder, checkHanded},
		Successor: func(fd int) []string {
			return append([]string{"daemon", roleHolder, handed + strconv.Itoa(fd)}, args[1:]...)
		},
		Log: holderLog,
	}
	fd, over := strings.CutPrefix(args[0], handed)
	n, err := strconv.Atoi(fd)
	switch {
	case err != nil:
		return ended(roleHolder, err)
	case over:
		o.Handed = n
	default:
		o.Starter = n
	}
	runtime.GOMAXPROCS(min(2, runtime.GOMAXPROCS(0)))
	return holder.Run(o)
}

// holderLog is the holder's log, as a manager has asked for with logWay.
func holderLog(file *os.File, way string) (*slog.Logger, error) {
	format, level := logText, slog.LevelInfo
	if named, text, ok := strings.Cut(way, " "); ok {
		format = named
		if err := level.UnmarshalText([]byte(text)); err != nil {
			return nil, err
		}
	}
	log, err := newLog(file, format, level)
	if err != nil {
		return nil, err
	}
	return log.With("process", roleHolder), nil
}

func logWay(format string, level slog.Level) string { return format + " " + level.String() }

func ended(role string, err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(os.Stderr, "gaffer: %s: %v\n", role, err)
	return exitError
}

// runAside runs f on a thread that is not the main one.
func runAside(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return <-done
}

// becomeHolder makes this process the holder of the daemon with these arguments. It
// returns only if it can't.
func becomeHolder(starter int, args []string) error {
	argv := append([]string{"gaffer", "daemon", roleHolder, strconv.Itoa(starter)}, args...)
	if starter > 0 {
		if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(starter), syscall.F_SETFD, 0); errno != 0 {
			return fmt.Errorf("descriptor %d: %w", starter, errno)
		}
	}
	err := syscall.Exec("/proc/self/exe", argv, os.Environ())
	return fmt.Errorf("holder: %w", err)
}

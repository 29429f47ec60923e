package main

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// masks hide what differs from one run to the next.
var masks = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?`), "TIME"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d(\.\d+)?\b`), "TIME"},
	{regexp.MustCompile(`(?m)^ *\d+ +TIME`), " SEQ TIME"}, // audits come in between, when they come
	{regexp.MustCompile(`\bpid \d+`), "pid PID"},
	{regexp.MustCompile(`"pid": ?\d+`), `"pid":PID`},
	{regexp.MustCompile(`\b(just now|[\d.]+(ms|s|m\d+s) ago)`), "AGO"},
	{regexp.MustCompile(`\b[\d.]+(ms|s|m[\d.]+s)\b`), "SPAN"},
	{regexp.MustCompile(`\b[\d.]+%`), "PERCENT"},
	{regexp.MustCompile(`\b[\d.]+[KMG]\b`), "SIZE"},
	{regexp.MustCompile(`\b\d{3,}\b`), "PID"},
	{regexp.MustCompile(`[ \t]+`), " "},
	{regexp.MustCompile(`(?m) $`), ""},
}

// masked compares a file, or stdout, with what it should be, without times, pids
// and the like, and with a blank for many.
func masked(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("want: masked FILE WANT")
	}
	mask := func(text string) string {
		text = strings.ReplaceAll(text, ts.Getenv("WORK"), "$WORK")
		for _, m := range masks {
			text = m.what.ReplaceAllString(text, m.by)
		}
		return text
	}
	got, want := mask(ts.ReadFile(args[0])), ts.ReadFile(args[1])
	want = regexp.MustCompile(`[ \t]+`).ReplaceAllString(want, " ")
	if got != want {
		ts.Fatalf("%s is, masked,\n%s\nwant\n%s", args[0], got, want)
	}
}

// awaits runs a command that goes on until it writes a line that matches, or so many
// of them, and ends it.
func awaits(ts *testscript.TestScript, deadline time.Time, neg bool, args []string) {
	count := 1
	if len(args) > 0 {
		if text, counts := strings.CutPrefix(args[0], "-count="); counts {
			var err error
			count, err = strconv.Atoi(text)
			ts.Check(err)
			args = args[1:]
		}
	}
	if neg || len(args) < 2 {
		ts.Fatalf("want: awaits [-count=N] REGEXP COMMAND...")
	}
	wanted, err := regexp.Compile(args[0])
	ts.Check(err)
	ctx, cancel := context.WithDeadline(context.Background(), deadline.Add(-10*time.Second))
	defer cancel()
	cmd := exec.CommandContext(ctx, program(ts, args[1]), args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "WORK", "GAFFER_HOST", "GAFFER_STATE_DIR", "GAFFER_RUNTIME_DIR", "GAFFER_KEY_FILE", "XDG_CONFIG_HOME", "GORACE"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	cmd.Stderr = cmd.Stdout
	ts.Check(cmd.Start())
	var seen []string
	for lines := bufio.NewScanner(out); count > 0 && lines.Scan(); {
		seen = append(seen, lines.Text())
		if wanted.MatchString(lines.Text()) {
			count--
		}
	}
	cancel()
	_ = cmd.Wait() // it was killed
	if count > 0 {
		ts.Fatalf("%s: no line matches %q in\n%s", strings.Join(args[1:], " "), wanted, strings.Join(seen, "\n"))
	}
}

// freePort sets a variable to the number of a port that nobody listens on, and puts
// it into files in place of the variable's name.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("want: freeport NAME FILE...")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Check(l.Close())
	ts.Setenv(args[0], port)
	for _, file := range args[1:] {
		text := strings.ReplaceAll(ts.ReadFile(file), args[0], port)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}

// program is where the script's PATH has a program.
func program(ts *testscript.TestScript, name string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	ts.Fatalf("%s: not in PATH", name)
	return ""
}

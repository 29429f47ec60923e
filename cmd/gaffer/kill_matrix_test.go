//go:build linux

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
	"github.com/gafferpm/gaffer/internal/proc"
)

var killFor = flag.Duration("kill-for", 8*time.Second, "how long processes of the daemon are killed and stopped in TestKillMatrix")

// matrix is a daemon under load, of which one process after the other is killed.
type matrix struct {
	t      *testing.T
	dir    string
	client *client.Client
	kills  map[string]int
	pids   map[string]int // of the services that are never killed
	killed map[string]int // by template: processes that a strike has killed
	scale  int            // how many of elastic are wanted
}

// Services write numbered lines: fast ones as fast as they can until there are so many,
// slow ones now and then. A crasher ends after some, in the middle of the last one.
// The numbers go on from process to process: each notes what it is about to write.
//
// Processes of victim are killed, those of elastic come and go with its number: each
// begins its lines with its id and counts from 1, and notes what it has written. parent
// has children that are killed, which do the same by their own number.
const matrixServices = `
[process.fast]
cmd = "sh fast.sh"
[process.slow]
cmd = "sh slow.sh"
numprocesses = 3
[process.crasher]
cmd = "sh crash.sh"
backoff = { first = "50ms", factor = 1, max = "50ms" }
[process.victim]
cmd = "sh run.sh"
numprocesses = 2
backoff = { first = "0s" }
[process.elastic]
cmd = "sh run.sh"
numprocesses = 2
[process.parent]
cmd = "sh parent.sh"
`

const (
	fastScript = `i=0
while :; do
	i=$((i+1)); echo "$i a line of a service that has much to say, and says it at once"
	case $i in *000) sleep 0.01;; esac
done
`
	runScript = `run=${1:-$GAFFER_ID}
i=0
while :; do
	i=$((i+1)); echo "$run.$i"
	echo "$i" > run.$run
	sleep 0.01
done
`
	parentScript = `n=0
while :; do
	n=$((n+1)); echo "$n" > parent.n
	sh run.sh p$n
done
`
	slowScript = `i=0
while :; do
	i=$((i+1)); echo "$i"; echo "$i to stderr" >&2
	sleep 0.01
done
`
	crashScript = `i=0
[ -e crash.n ] && read -r i < crash.n
n=0
while [ $n -lt 40 ]; do
	n=$((n+1)); i=$((i+1)); echo "$i"
done
i=$((i+1)); echo $i > crash.n.new; mv crash.n.new crash.n
printf %s "$i"
exit 7
`
)

// newMatrix is a daemon that is still to be started.
func newMatrix(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{t: t, dir: shortDir(t), kills: map[string]int{}, pids: map[string]int{}, killed: map[string]int{}, scale: 2}
	for name, text := range map[string]string{
		"gaffer.toml": matrixServices, "fast.sh": fastScript, "slow.sh": slowScript, "crash.sh": crashScript,
		"run.sh": runScript, "parent.sh": parentScript,
	} {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(m.endAll)
	return m
}

// begin starts it, and waits until all run.
func (m *matrix) begin() {
	m.start()
	m.await("fast", "slow", "crasher", "victim", "elastic", "parent")
	m.note()
}

func TestKillMatrix(t *testing.T) {
	m := newMatrix(t)
	m.begin()
	for end := time.Now().Add(*killFor); time.Now().Before(end); {
		m.rescale()
		m.strike()
		m.await("fast", "slow", "parent")
	}
	m.await("fast", "slow", "crasher", "victim", "elastic", "parent")
	m.check()
}

// gaffer runs a command against the daemon.
func (m *matrix) gaffer(args ...string) (string, error) {
	cmd := exec.CommandContext(m.t.Context(), "gaffer", append(args, "--state-dir", m.dir+"/state", "--runtime-dir", m.dir)...)
	cmd.Env, cmd.Dir = append(os.Environ(), "WORK="+m.dir), m.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m *matrix) start() {
	m.t.Helper()
	if out, err := m.gaffer("daemon", "--background", "--config", "gaffer.toml", "--pid-file", m.dir+"/pid"); err != nil {
		log, _ := os.ReadFile(m.dir + "/state/gaffer.log")
		m.t.Fatalf("%v: %s\n%s", err, out, log)
	}
	c, err := client.New("unix://"+filepath.Join(m.dir, socketName), client.Options{})
	if err != nil {
		m.t.Fatal(err)
	}
	m.client = c
}

func (m *matrix) holder() int {
	text, _ := os.ReadFile(m.dir + "/pid")
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// await waits until the daemon answers and has all processes of templates running.
func (m *matrix) await(names ...string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 30*time.Second)
	defer cancel()
	var infos []gaffer.Info
	var err error
	for ctx.Err() == nil {
		wait, stop := context.WithTimeout(ctx, time.Second)
		infos, err = m.client.List(wait, gaffer.All)
		stop()
		left := len(names)
		for _, info := range infos {
			for _, name := range names {
				if info.Template.Name == name && (info.Status.Running == info.Status.MaxProcesses || name == "crasher") {
					left--
				}
			}
		}
		if err == nil && left == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond) // there is nothing that could be waited for while the daemon may be away
	}
	log, _ := os.ReadFile(m.dir + "/state/gaffer.log")
	m.t.Fatalf("the daemon does not come back: %v, %+v\n%s", err, infos, log[max(0, len(log)-4000):])
}

// note notes the pids of what is never killed.
func (m *matrix) note() {
	infos, err := m.client.List(m.t.Context(), gaffer.All)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, info := range infos {
		for _, p := range info.Status.Processes {
			if !slices.Contains([]string{"crasher", "victim", "elastic"}, info.Template.Name) {
				m.pids[fmt.Sprintf("%s.%d", info.Template.Name, p.Slot)] = p.PID
			}
		}
	}
}

// strike kills, or stops for a while, some process of the daemon.
func (m *matrix) strike() {
	holder := m.holder()
	manager, spawner := childWith(holder, roleManager), childWith(holder, roleSpawner)
	kill := func(pid int, sig syscall.Signal) {
		if pid > 1 {
			_ = syscall.Kill(pid, sig)
		}
	}
	cells := []string{
		"manager", "manager", "spawner", "manager stopped", "holder stopped", "spawner stopped", "holder", "manager and holder",
		"service", "service", "service stopped", "child",
	}
	cell := cells[rand.IntN(len(cells))]
	m.kills[cell]++
	pause := time.Duration(rand.IntN(100)) * time.Millisecond
	switch cell {
	case "service":
		kill(m.running("victim"), syscall.SIGKILL)
	case "child":
		kill(m.running("parent child"), syscall.SIGKILL)
	case "manager":
		kill(manager, syscall.SIGKILL)
	case "spawner":
		kill(spawner, syscall.SIGKILL)
	case "holder":
		kill(holder, syscall.SIGKILL)
		time.Sleep(pause / 2) // the manager is alone for a moment that nothing announces
		m.start()
	case "manager and holder":
		kill(manager, syscall.SIGKILL)
		kill(holder, syscall.SIGKILL)
		killed := m.killManagers(rand.IntN(3))
		m.start()
		m.kills["manager that takes over"] += killed()
	default:
		pid := map[string]int{"manager stopped": manager, "holder stopped": holder, "spawner stopped": spawner, "service stopped": m.pids["slow.1"]}[cell]
		kill(pid, syscall.SIGSTOP)
		time.Sleep(pause)
		kill(pid, syscall.SIGCONT)
	}
	time.Sleep(pause)
}

// killManagers kills the next managers, so many, each shortly after it has begun, until
// the function that it returns is called; that says how many they were.
func (m *matrix) killManagers(most int) (killed func() int) {
	over, n := make(chan struct{}), make(chan int, 1)
	go func() {
		done := map[int]bool{}
		defer func() { n <- len(done) }()
		for len(done) < most {
			select {
			case <-over:
				return
			default:
			}
			if pid := m.starting(); pid != 0 && !done[pid] {
				time.Sleep(rand.N(20 * time.Millisecond))
				_ = syscall.Kill(pid, syscall.SIGKILL)
				done[pid] = true
			}
		}
	}()
	return func() int {
		close(over)
		return <-n
	}
}

// starting is a manager of the daemon, whoever its holder is.
func (m *matrix) starting() int {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, line := range lines {
		text, _ := os.ReadFile(line)
		words := strings.Split(string(text), "\x00")
		if len(words) > 3 && words[1] == "daemon" && words[2] == roleManager && slices.Contains(words, m.dir+"/state") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(line)))
			return pid
		}
	}
	return 0
}

// check compares what there is with what should be.
func (m *matrix) check() {
	t := m.t
	was := m.pids
	m.pids = map[string]int{}
	m.note()
	for name, pid := range was {
		if m.pids[name] != pid {
			t.Errorf("%s: pid %d, was %d", name, m.pids[name], pid)
		}
	}
	copies, gaps := m.copies(), m.gaps()
	exits, wrong := m.exits(gaps)
	if out, err := m.gaffer("daemon", "stop"); err != nil {
		t.Errorf("stop: %v: %s", err, out)
	}
	lost, doubled, lines, told := 0, 0, 0, 0
	for _, stream := range []string{"fast.1/stdout", "slow.1/stdout", "slow.2/stdout", "slow.3/stdout", "slow.1/stderr", "crasher.1/stdout"} {
		l, d, n := m.compare(stream)
		if stream == "crasher.1/stdout" && l <= gaps*crashLines { // of those that ended while nothing of the daemon ran
			told, l = l, 0
		}
		lost, doubled, lines = lost+l, doubled+d, lines+n
	}
	l, d, n := m.compareRuns(gaps)
	lost, doubled, lines = lost+l, doubled+d, lines+n
	total := 0
	for _, n := range m.kills {
		total += n
	}
	t.Logf("%d strikes (%v), %d lines: %d lost, %d doubled, %d copies too many, %d of %d exits wrong; %d more in %d gaps that events tell of",
		total, m.kills, lines, lost, doubled, copies, wrong, exits, told, gaps)
	if lost+doubled+copies+wrong > 0 || lines == 0 {
		t.Errorf("lost, doubled, copies and wrong exits are to be 0")
	}
}

// copies waits until the processes run that are wanted, as what a strike has killed is
// not started again at once, and returns how many there are at most beyond.
func (m *matrix) copies() (most int) {
	wanted := map[string]int{"fast": 1, "slow": 3, "crasher": 1, "victim": 2, "elastic": m.scale, "parent": 1}
	for end := time.Now().Add(10 * time.Second); ; {
		seen := map[string]int{}
		for _, s := range proc.Strays(proc.Search{Mark: func(e string) bool { return strings.HasPrefix(e, "GAFFER_INSTANCE=") && strings.Contains(e, ".") }, Variable: "GAFFER_NAME"}) {
			if s.Main && m.owns(s.PID) {
				seen[s.Value]++
			}
		}
		there := true
		for name, n := range wanted {
			most = max(most, seen[name]-n)
			there = there && (seen[name] >= n || name == "crasher")
		}
		if there {
			return most
		}
		if time.Now().After(end) {
			m.t.Errorf("there run %v, want %v", seen, wanted)
			return most
		}
	}
}

// rescale changes how many of elastic are wanted, now and then. What was asked for and
// not answered is asked for again: a manager may have died meanwhile.
func (m *matrix) rescale() {
	if rand.IntN(3) > 0 {
		return
	}
	m.scale = rand.IntN(5)
	m.asked(func(ctx context.Context) error {
		change, err := gaffer.ParseChange(strconv.Itoa(m.scale))
		if err != nil {
			m.t.Fatal(err)
		}
		_, err = m.client.Scale(ctx, "elastic", change)
		return err
	})
}

// asked asks until there is an answer.
func (m *matrix) asked(ask func(context.Context) error) {
	m.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		ctx, cancel := context.WithTimeout(m.t.Context(), 3*time.Second)
		err := ask(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			m.t.Fatal(err)
		}
	}
}

// running is the pid of a process of a template, or of the child of parent's.
func (m *matrix) running(what string) (pid int) {
	name, child := strings.CutSuffix(what, " child")
	m.asked(func(ctx context.Context) error {
		infos, err := m.client.List(ctx, gaffer.Target(name))
		if err != nil || len(infos[0].Status.Processes) == 0 {
			return err
		}
		all := infos[0].Status.Processes
		pid = all[rand.IntN(len(all))].PID
		return nil
	})
	if !child {
		m.killed[name]++
		return pid
	}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// exits counts the ends that are told of, and those of which something else is told than
// what has happened. How those have ended that nobody saw is unknown, once for each gap.
func (m *matrix) exits(gaps int) (all, wrong int) {
	events, err := m.client.Subscribe(m.t.Context(), gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindExit}, Since: new(uint64(0)), NoFollow: true})
	if err != nil {
		m.t.Fatal(err)
	}
	defer events.Close()
	killed, unknown := 0, 0
	for {
		e, err := events.Next(m.t.Context())
		if _, missed := err.(gaffer.Missed); missed {
			continue // the journal is bounded
		}
		if err != nil {
			break
		}
		all++
		good := false
		switch x := e.Exit; {
		case x == nil:
		case strings.Contains(x.Reason, "unknown"):
			unknown++
			good = unknown <= gaps
		case e.Name == "crasher":
			good = x.Status == 7
		case e.Name == "victim":
			killed++
			good = x.Signal == gaffer.Signal(syscall.SIGKILL)
		case e.Name == "elastic":
			good = x.Signal == gaffer.Signal(syscall.SIGTERM)
		}
		if !good {
			wrong++
			m.t.Errorf("%s %d: %+v", e.Name, e.ID, e.Exit)
		}
	}
	// One that is killed just before it has begun, or twice, counts once.
	if killed+unknown < m.killed["victim"]-2 || killed > m.killed["victim"] {
		m.t.Errorf("%d of victim are told to have been killed, and %d unknown; %d were", killed, unknown, m.killed["victim"])
	}
	return all, wrong
}

// compareRuns counts the numbers that are missing, and those that are there twice or not
// in order, in the lines of processes that count from 1 and note what they have written.
// What one had written last may be missing for each gap.
func (m *matrix) compareRuns(gaps int) (lost, doubled, lines int) {
	last := map[string]int{}
	var slots []string
	for _, name := range []string{"victim", "elastic", "parent"} {
		of, _ := filepath.Glob(filepath.Join(m.dir, "state", "logs", name+".*"))
		slots = append(slots, of...)
	}
	for _, slot := range slots {
		text, _ := m.text(filepath.Base(slot) + "/stdout")
		for line := range strings.Lines(text) {
			run, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ".")
			n, err := strconv.Atoi(number)
			if err != nil {
				continue // of a process that was killed in the middle of it, perhaps
			}
			lines++
			switch {
			case n > last[run]+1:
				lost += n - last[run] - 1
				m.t.Errorf("%s: %s.%d after %d", slot, run, n, last[run])
			case n <= last[run]:
				doubled++
				continue
			}
			last[run] = n
		}
	}
	notes, _ := filepath.Glob(filepath.Join(m.dir, "run.*"))
	cut := 0
	for _, note := range notes {
		run := strings.TrimPrefix(filepath.Base(note), "run.")
		text, _ := os.ReadFile(note)
		wrote, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if n := last[run]; err == nil && wrote > n && run != "sh" {
			if cut++; cut > gaps {
				lost += wrote - n
				m.t.Errorf("%s has written %d lines, and %d are there", run, wrote, n)
			}
		}
	}
	if len(notes) < 2 {
		m.t.Errorf("only %d have noted anything", len(notes))
	}
	return lost, doubled, lines
}

// crashLines is what a crasher writes in its life.
const crashLines = 41

// gaps is how many processes have ended while nothing of the daemon ran.
func (m *matrix) gaps() (n int) {
	events, err := m.client.Subscribe(m.t.Context(), gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindGap}, Since: new(uint64(0)), NoFollow: true})
	if err != nil {
		m.t.Fatal(err)
	}
	defer events.Close()
	for {
		_, err := events.Next(m.t.Context())
		if _, missed := err.(gaffer.Missed); missed {
			continue
		}
		if err != nil {
			return n
		}
		n++
	}
}

// owns says whether a process is of this daemon: its working directory is.
func (m *matrix) owns(pid int) bool {
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	real, _ := filepath.EvalSymlinks(m.dir)
	return err == nil && dir == real
}

// text is all that is kept of a stream, and whether that is only its end.
func (m *matrix) text(stream string) (all string, cut bool) {
	dir, label := filepath.Split(filepath.Join(m.dir, "state", "logs", stream))
	files, _ := filepath.Glob(filepath.Join(dir, label+"*.log*"))
	var rotated []string
	var text bytes.Buffer
	for _, f := range files {
		if strings.HasSuffix(f, ".tmp") || strings.HasSuffix(f, ".zst") && slices.Contains(files, strings.TrimSuffix(f, ".zst")) {
			continue // somebody was killed who compressed it
		}
		if filepath.Base(f) != label+".log" {
			rotated = append(rotated, f) // Glob sorts, and the names sort as their offsets do
		}
	}
	for _, f := range append(rotated, filepath.Join(dir, label+".log")) {
		b, err := os.ReadFile(f)
		if strings.HasSuffix(f, ".zst") {
			d, _ := zstd.NewReader(nil)
			b, err = d.DecodeAll(b, nil)
			d.Close()
		}
		if err != nil {
			m.t.Error(err)
		}
		text.Write(b)
	}
	return text.String(), len(rotated) > 0
}

// compare counts the numbers that are missing in a stream, and those that are there twice
// or not in order. What was given up for good is none of them.
func (m *matrix) compare(stream string) (lost, doubled, lines int) {
	text, cut := m.text(stream)
	next := 0
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		word, _, _ := strings.Cut(line, " ")
		n, err := strconv.Atoi(word)
		if err != nil {
			m.t.Errorf("%s: %q is not a line that was written", stream, line)
			continue
		}
		lines++
		switch {
		case next == 0 && !cut && n != 1:
			lost += n - 1
		case next != 0 && n > next:
			lost += n - next
		case next != 0 && n < next:
			doubled++
			continue
		}
		next = n + 1
	}
	return lost, doubled, lines
}

func (m *matrix) endAll() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	left := proc.Strays(proc.Search{Mark: func(e string) bool { return e == "WORK="+m.dir }})
	if _, err := proc.EndStrays(ctx, left, func(proc.Stray) syscall.Signal { return syscall.SIGKILL }); err != nil {
		m.t.Error(err)
	}
}

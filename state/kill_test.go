package state

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gafferpm/gaffer"
)

var killRounds = flag.Int("kill-rounds", 200, "how often a program that changes what is wanted is killed")

// A program that is killed makes changes in two workers at once, each of templates
// of its own. It writes a line before and one after each change:
//
//	WORKER try CHANGE
//	WORKER done
//
// Whoever reads that knows what was acknowledged, and the one change of each
// worker that was in flight.

// workers are the first letters of their templates' names.
var workers = []string{"a", "b"}

// model is what is wanted, by name.
type model map[string]gaffer.Wanted

// apply makes a change: "add NAME VALUE COUNT", "update NAME VALUE", "scale NAME
// COUNT", "start NAME", "stop NAME" or "remove NAME".
func (m model) apply(change string) {
	words := strings.Fields(change)
	name := words[1]
	w := m[name]
	switch words[0] {
	case "add":
		w = gaffer.Wanted{Template: cat(name, words[2], number(words[3])), Active: true, Count: number(words[3])}
	case "update":
		w.Template = cat(name, words[2], count(&w.Template))
	case "scale":
		w.Count = number(words[2])
	case "start", "stop":
		w.Active = words[0] == "start"
	case "remove":
		delete(m, name)
		return
	}
	m[name] = w
}

// String is all that is wanted, whole.
func (m model) String() string {
	var list []string
	for _, w := range m {
		list = append(list, fmt.Sprintf("%s V=%s of %d", wantedText(w), w.Template.Env["V"], count(&w.Template)))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func (m model) of(worker string) model {
	part := model{}
	for name, w := range m {
		if strings.HasPrefix(name, worker) {
			part[name] = w
		}
	}
	return part
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// cat is a template of a program that ends when whoever has started it is gone.
func cat(name, value string, n int) gaffer.Template {
	return gaffer.Template{
		Name: name, Cmd: "cat", RedirectInput: true, NumProcesses: new(n), Env: map[string]string{"V": value},
	}
}

// recorded is what a state has recorded.
func recorded(s *State) model {
	m := model{}
	for _, r := range s.snapshot() {
		m[r.name] = gaffer.Wanted{Template: *r.Template, Active: r.Active, Count: r.Count}
	}
	return m
}

// ask makes a change of a real or fake manager.
func ask(m manager, change string) error {
	words := strings.Fields(change)
	ctx, name := context.Background(), gaffer.Target(words[1])
	switch words[0] {
	case "add":
		_, err := m.Define(ctx, cat(words[1], words[2], number(words[3])))
		return err
	case "update":
		infos, err := m.List(ctx, name)
		if err != nil {
			return err
		}
		_, err = m.Define(ctx, cat(words[1], words[2], count(&infos[0].Template)))
		return err
	case "scale":
		_, err := m.Scale(ctx, name, gaffer.Change{Op: '=', N: number(words[2])})
		return err
	case "start":
		return m.Start(ctx, name)
	case "stop":
		return m.Stop(ctx, name)
	}
	return m.Remove(ctx, name)
}

// work makes random changes until the program is killed.
func work(m manager, worker string, is model) error {
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s%d", worker, rand.IntN(4))
		change := fmt.Sprintf("add %s %d %d", name, rand.IntN(1000), rand.IntN(3))
		if _, there := is[name]; there {
			change = []string{
				fmt.Sprintf("update %s %d", name, rand.IntN(1000)), fmt.Sprintf("scale %s %d", name, rand.IntN(3)),
				"start " + name, "stop " + name, "remove " + name,
			}[rand.IntN(5)]
		}
		fmt.Println(worker, "try", change)
		if err := ask(m, change); err != nil {
			return fmt.Errorf("%s: %w", change, err)
		}
		fmt.Println(worker, "done")
		is.apply(change)
	}
}

// workAll makes random changes in all workers.
func workAll(m manager, s *State) int {
	var wg sync.WaitGroup
	var failed sync.Once
	status := 0
	for _, w := range workers {
		is := recorded(s).of(w)
		wg.Go(func() {
			if err := work(m, w, is); err != nil {
				failed.Do(func() { status = 1; fmt.Fprintln(os.Stderr, err) })
			}
		})
	}
	wg.Wait()
	return status
}

// changeProgram makes random changes of a manager without processes, which also
// writes events.
func changeProgram(args []string) int {
	s, err := Open(args[0], Options{JournalSegments: 3, JournalSegmentBytes: 4000})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	m := newFake(s)
	if err := s.restore(context.Background(), m, nil, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		for seq, _ := s.Journal().Last(); ; seq++ {
			if err := s.Journal().Append(events(seq+1, seq+1)); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			fmt.Println("event", seq+1)
		}
	}()
	return workAll(m, s)
}

// manageProgram makes random changes of a manager with processes.
func manageProgram(args []string) int {
	s, err := Open(args[0], Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	m, err := gaffer.New(gaffer.Options{Store: s, Journal: s.Journal(), NoCgroup: true})
	if err == nil {
		err = s.Restore(context.Background(), m, nil, nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() { _ = m.Run(context.Background()) }() // it ends with the program
	<-m.Begun()
	return workAll(m, s)
}

// killed runs a program until it has written some lines, kills it, and returns
// what it has written.
func killed(t *testing.T, name, dir string, after int) []string {
	t.Helper()
	cmd := program(t, name, dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for reader := bufio.NewReader(out); ; {
		if len(lines) == after {
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Error(err)
			}
		}
		line, err := reader.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	err = cmd.Wait()
	if cmd.ProcessState.Exited() {
		t.Fatalf("%s ended by itself: %v", name, err)
	}
	return lines
}

// survivors checks what is left after a kill, and returns it.
func survivors(t *testing.T, s *State, before model, lines []string) model {
	t.Helper()
	is := recorded(s)
	lastEvent := uint64(0)
	for _, w := range workers {
		acknowledged, flying := before.of(w), ""
		for _, line := range lines {
			if n, ok := strings.CutPrefix(line, "event "); ok {
				lastEvent = uint64(number(n))
			}
			if change, ok := strings.CutPrefix(line, w+" try "); ok {
				flying = change
			}
			if line == w+" done" {
				acknowledged.apply(flying)
				flying = ""
			}
		}
		got, want := is.of(w).String(), acknowledged.String()
		if got == want {
			continue
		}
		if flying != "" {
			acknowledged.apply(flying)
		}
		if flown := acknowledged.String(); flying == "" || got != flown {
			t.Fatalf("left is\n%s\nacknowledged was\n%s\nin flight was %q, with which it is\n%s", got, want, flying, flown)
		}
	}
	checkEvents(t, s.Journal(), lastEvent)
	return is
}

// checkEvents checks that the journal has events without a gap up to the last one
// that was seen, at least.
func checkEvents(t *testing.T, j *Journal, last uint64) {
	t.Helper()
	list, err := j.Read(0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list[min(1, len(list)):] {
		if list[i+1].Seq != list[i].Seq+1 {
			t.Fatalf("event %d after %d", list[i+1].Seq, list[i].Seq)
		}
	}
	if last > 0 && (len(list) == 0 || list[len(list)-1].Seq < last) {
		t.Fatalf("event %d is missing at the end of %d", last, len(list))
	}
}

func killAgainAndAgain(t *testing.T, name string, rounds int) {
	// A kill is not about the disk, which would only make the test slow.
	dir := memoryDir(t)
	is := model{}
	for range rounds {
		lines := killed(t, name, dir, rand.IntN(60))
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		is = survivors(t, s, is, lines)
		abandon(t, s)
	}
}

func TestKilledAtAnyMomentNothingAcknowledgedIsLost(t *testing.T) {
	rounds := *killRounds
	if testing.Short() {
		rounds = min(rounds, 20)
	}
	killAgainAndAgain(t, "change", rounds)
}

func TestAManagerKilledAtAnyMomentIsAsItWas(t *testing.T) {
	rounds := max(*killRounds/10, 1)
	if testing.Short() {
		rounds = min(rounds, 3)
	}
	killAgainAndAgain(t, "manage", rounds)
}

package proc

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// stray starts what a Host that is gone could have left: a session of its own
// that writes its pid, and its child's if it has one.
func stray(t *testing.T, script string, env ...string) (main int, rest []int) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "echo $$; "+script)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		rest = append(rest, pid)
	}
	return rest[0], rest[1:]
}

func pids(found []Stray) map[int]Stray {
	by := map[int]Stray{}
	for _, s := range found {
		by[s.PID] = s
	}
	return by
}

func marked(mark string) func(string) bool {
	return func(entry string) bool { return entry == "STRAY_MARK="+mark }
}

func byTerm(Stray) syscall.Signal { return syscall.SIGTERM }

func TestStraysAreFoundByTheirMarkWithWhatTheyStarted(t *testing.T) {
	t.Parallel()
	mark := t.Name()
	main, rest := stray(t, `sleep 1000 & echo $!; env -i setsid sleep 1000 & echo $!; echo ready; wait`, "STRAY_MARK="+mark, "STRAY_NAME=web")
	other, _ := stray(t, `echo ready; exec sleep 1000`, "STRAY_MARK=another")

	found := pids(Strays(Search{Mark: marked(mark), Variable: "STRAY_NAME"}))
	if s := found[main]; !s.Main || s.Value != "web" {
		t.Errorf("the main process: got %+v", s)
	}
	for _, pid := range rest {
		if found[pid].PID == 0 {
			t.Errorf("%d, which it started, is not among %v", pid, found)
		}
	}
	if found[other].PID != 0 || found[os.Getpid()].PID != 0 {
		t.Errorf("found somebody else's: %v", found)
	}

	killed, err := EndStrays(t.Context(), Strays(Search{Mark: marked(mark)}), byTerm)
	if err != nil || len(killed) != 0 {
		t.Errorf("got %v, %v; want all to end when asked", killed, err)
	}
	if left := Strays(Search{Mark: marked(mark)}); len(left) != 0 {
		t.Errorf("still there: %v", left)
	}
	if _, ok := readKin(other); !ok {
		t.Error("somebody else's was ended")
	}
}

func TestStraysAreFoundByTheirBirth(t *testing.T) {
	t.Parallel()
	before := time.Now()
	main, _ := stray(t, `echo ready; exec sleep 1000`)
	nobody := func(string) bool { return false }
	births := []Birth{{PID: main, At: time.Now(), Value: "web"}}
	found := Strays(Search{Mark: nobody, Births: births})
	if len(found) != 1 || found[0].PID != main || found[0].Value != "web" {
		t.Errorf("got %v, want %d alone", found, main)
	}
	births[0].At = before.Add(-time.Hour) // who had that number then is gone
	if found := Strays(Search{Mark: nobody, Births: births}); len(found) != 0 {
		t.Errorf("got %v, want none", found)
	}
	births[0] = Birth{PID: os.Getpid(), At: time.Now()}
	if found := Strays(Search{Mark: nobody, Births: births}); len(found) != 0 {
		t.Errorf("got %v: this program is no stray", found)
	}
}

func TestAStrayThatDoesNotEndIsKilled(t *testing.T) {
	t.Parallel()
	mark := t.Name()
	main, _ := stray(t, `trap '' TERM; echo ready; while :; do sleep 1000; done`, "STRAY_MARK="+mark)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	killed, err := EndStrays(ctx, Strays(Search{Mark: marked(mark)}), byTerm)
	if err != nil || len(killed) != 1 || killed[0].PID != main {
		t.Errorf("got %v, %v; want %d killed", killed, err, main)
	}
	if k, ok := readKin(main); ok && !k.dead {
		t.Error("it lives")
	}
}

func TestOneThatIsGoneIsNotEndedByItsNumber(t *testing.T) {
	t.Parallel()
	mark := t.Name()
	main, _ := stray(t, `echo ready; exec sleep 1000`, "STRAY_MARK="+mark)
	found := Strays(Search{Mark: marked(mark)})
	if len(found) != 1 {
		t.Fatalf("got %v", found)
	}
	found[0].start++ // as if the number had come again
	killed, err := EndStrays(t.Context(), found, byTerm)
	if err != nil || len(killed) != 0 {
		t.Errorf("got %v, %v", killed, err)
	}
	if k, ok := readKin(main); !ok || k.dead {
		t.Error("it was ended")
	}
}

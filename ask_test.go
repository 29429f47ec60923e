package gaffer

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestAskRunsAsTheTemplateDoes(t *testing.T) {
	r := newReal(t, Options{Instance: "asks", TailBytes: -1})
	dir := t.TempDir()
	r.ok(r.Add(r.ctx, Template{Name: "web", Cmd: "sleep 1000", Cwd: dir, Env: map[string]string{"DEPTH": "17"}, Start: new(false), RedirectOutput: []string{}}))
	got, err := r.Ask(r.ctx, "web", "pwd; echo $DEPTH $GAFFER_NAME; echo no >&2")
	r.ok(err)
	if got != dir+"\n17 web\n" {
		t.Errorf("got %q", got)
	}
	got, err = r.Ask(r.ctx, "web", "yes | head -c 100000")
	r.ok(err)
	if len(got) != mostAnswer {
		t.Errorf("%d bytes", len(got))
	}
	_, err = r.Ask(r.ctx, "web", "echo 5; echo first >&2; echo 'no queue ' >&2; exit 3")
	if err == nil || err.Error() != "exit status 3: no queue" {
		t.Errorf("got %v", err)
	}
	_, err = r.Ask(r.ctx, "web", "kill -KILL $$")
	if err == nil || err.Error() != "ended by SIGKILL" {
		t.Errorf("got %v", err)
	}
	_, err = r.Ask(r.ctx, "nobody", "true")
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	// No event tells of it.
	if e, err := r.History(r.ctx, "web"); err != nil || len(e) != 1 {
		t.Errorf("got %v %v", e, err)
	}
}

// What takes too long is killed with all that it has started.
func TestAskLeavesNothing(t *testing.T) {
	r := newReal(t, Options{Instance: "asks"})
	r.ok(r.Add(r.ctx, Template{Name: "web", Cmd: "sleep 1000", Start: new(false)}))
	fifo := t.TempDir() + "/pids"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	pids := make(chan string, 1)
	go func() {
		defer cancel()
		text, err := os.ReadFile(fifo)
		if err != nil {
			t.Error(err)
		}
		pids <- string(text)
	}()
	_, err := r.Ask(ctx, "web", "trap '' TERM; setsid sleep 1000 & echo $! > "+fifo+".1; sleep 1000 & echo $(cat "+fifo+".1) $! $$ > "+fifo+"; wait")
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	list := strings.Fields(<-pids)
	if len(list) != 3 {
		t.Errorf("got %q", list)
	}
	for _, text := range list {
		if pid, err := strconv.Atoi(text); err != nil || alive(pid) {
			t.Errorf("process %s still runs", text)
		}
	}
	canceled, cancel := context.WithCancel(r.ctx)
	cancel()
	if _, err := r.Ask(canceled, "web", "sleep 1000"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

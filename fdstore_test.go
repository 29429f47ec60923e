package gaffer

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gafferpm/gaffer/internal/proc"
)

// gives has a process give a descriptor to keep, of a pipe that holds the text.
func (p *fakeProc) gives(t *testing.T, text, vars string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	p.handler.(proc.Notified).Notified(proc.Message{Text: []byte("FDSTORE=1\n" + vars), PID: p.pid, Files: []*os.File{r}})
	synctest.Wait()
}

func keepsFiles(n int) func(*Template) { return func(t *Template) { t.FDStore = n } }

// passed is what a process was told of the descriptors that it got.
func (p *fakeProc) passed() (vars []string) {
	for _, entry := range p.spec.Env {
		if strings.HasPrefix(entry, "LISTEN_") {
			vars = append(vars, entry)
		}
	}
	slices.Sort(vars)
	return vars
}

func TestDescriptorsAreKeptForTheNextProcess(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", keepsFiles(2), numprocesses(2))
		p := w.host.alive()[0]
		p.gives(t, "one", "FDNAME=first")
		p.gives(t, "two", "FDNAME=a:b")
		p.gives(t, "three", "FDNAME=too-many")
		p.end(1, 0)
		synctest.Wait()
		live := w.host.alive()
		next := live[len(live)-1]
		if want := []string{"LISTEN_FDNAMES=first:stored", "LISTEN_FDS=2"}; !slices.Equal(next.passed(), want) {
			t.Errorf("passed %v, want %v", next.passed(), want)
		}
		if len(next.spec.Files) != 2 || next.spec.OwnPID != "LISTEN_PID" {
			t.Errorf("files %v, pid in %q", next.spec.Files, next.spec.OwnPID)
		}
		if other := live[0]; len(other.passed()) > 0 {
			t.Errorf("the other slot was passed %v", other.passed())
		}
		k := w.keepers["web"]
		text := make([]byte, 10)
		n, _ := k.slots[0].stored[0].file.Read(text)
		if string(text[:n]) != "one" {
			t.Errorf("kept %q", text[:n])
		}
		next.tells("FDSTOREREMOVE=1\nFDNAME=first", 0)
		synctest.Wait()
		if s := k.slots[0].stored; len(s) != 1 || s[0].name != "stored" {
			t.Errorf("kept %v", s)
		}
		w.ok(w.Stop(w.ctx(), "web"))
		if s := k.slots[0].stored; len(s) != 0 {
			t.Errorf("kept after the stop %v", s)
		}
	})
}

func TestWhatNobodyKeepsIsClosed(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", readyBy(Ready{Notify: true}), restarts(RestartNever), notStarted)
		go func() { _ = w.Start(w.ctx(), "web") }()
		synctest.Wait()
		p := w.host.alive()[0]
		p.gives(t, "one", "READY=1")
		if s := w.keepers["web"].slots[0].stored; len(s) != 0 {
			t.Errorf("kept %v", s)
		}
		w.wantState("web", Running, 1)
	})
}

func TestFDStoresThatCantBe(t *testing.T) {
	for field, bad := range map[string]Template{
		"fdstore":  {FDStore: -1},
		"ready.fd": {FDStore: 1, Ready: &Ready{FD: 3}},
		"detach":   {FDStore: 1, Detach: true},
	} {
		bad.Name, bad.Cmd = "a", "true"
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

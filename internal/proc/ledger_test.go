package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func openLedger(t *testing.T, dir, boot string) (*Ledger, []Entry) {
	t.Helper()
	l, entries, err := OpenLedger(dir, boot)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, entries
}

func TestALedgerRemembersWhatIsNotGone(t *testing.T) {
	dir := t.TempDir()
	l, entries := openLedger(t, dir, "boot")
	if len(entries) != 0 {
		t.Fatalf("a new one has %v", entries)
	}
	for id := range uint64(5) {
		if err := l.Intend(id+1, fmt.Appendf(nil, `"note %d"`, id+1)); err != nil {
			t.Fatal(err)
		}
	}
	l.Born(1, 100, 7)
	l.Born(2, 200, 8)
	l.Note(2, []byte(`"leaving"`))
	l.Gone(3)
	l.Gone(4)
	l.Note(4, []byte(`"too late"`))
	check := func(entries []Entry) {
		t.Helper()
		if len(entries) != 3 || entries[0].PID != 100 || entries[0].Birth != 7 || string(entries[1].Note) != `"leaving"` ||
			entries[1].PID != 200 || entries[2].ID != 5 || entries[2].PID != 0 {
			t.Errorf("got %+v", entries)
		}
	}
	check(ReadLedger(dir, "boot"))
	f, err := os.OpenFile(filepath.Join(dir, ledgerName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"id":1,"gone":tr`); err != nil { // somebody was killed
		t.Fatal(err)
	}
	_ = f.Close()
	_, entries = openLedger(t, dir, "boot")
	check(entries)
	if _, entries = openLedger(t, dir, "another boot"); len(entries) != 0 {
		t.Errorf("after a boot it has %+v", entries)
	}
}

func TestALedgerIsWrittenAnewWhenMostOfItIsGone(t *testing.T) {
	dir := t.TempDir()
	l, _ := openLedger(t, dir, "boot")
	if err := l.Intend(1, []byte(`"stays"`)); err != nil {
		t.Fatal(err)
	}
	l.Born(1, 11, 12)
	for id := uint64(2); id < 30_000; id++ {
		if err := l.Intend(id, []byte(`"a note of a usual length, more or less"`)); err != nil {
			t.Fatal(err)
		}
		l.Gone(id)
	}
	if l.size > 2*ledgerSlack {
		t.Errorf("it has %d bytes", l.size)
	}
	_, entries := openLedger(t, dir, "boot")
	if len(entries) != 1 || entries[0].PID != 11 || string(entries[0].Note) != `"stays"` {
		t.Errorf("got %+v", entries)
	}
}

// Where the file can't be written anew, the one that there is goes on.
func TestALedgerOutlivesARewriteThatFails(t *testing.T) {
	dir := t.TempDir()
	l, _, err := OpenLedger(dir, "boot")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Mkdir(filepath.Join(dir, ledgerName+".new"), 0o700); err != nil { // in the way
		t.Fatal(err)
	}
	note := []byte(`"` + strings.Repeat("x", 1000) + `"`)
	if err := l.Intend(1, note); err != nil {
		t.Fatal(err)
	}
	for id := uint64(2); l.size < 3*ledgerSlack; id++ {
		if err := l.Intend(id, note); err != nil {
			t.Fatal(err)
		}
		l.Gone(id)
	}
	size := l.size
	if err := os.Remove(filepath.Join(dir, ledgerName+".new")); err != nil {
		t.Fatal(err)
	}
	if err := l.Intend(1<<40, note); err != nil {
		t.Fatal(err)
	}
	l.Gone(1 << 40)
	if l.size >= size {
		t.Errorf("%d bytes, and %d before it could be written anew", l.size, size)
	}
	if got := ReadLedger(dir, "boot"); len(got) != 1 || got[0].ID != 1 {
		t.Errorf("%d are in it", len(got))
	}
	// A rename that fails comes after all else.
	if err := os.Remove(l.path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(l.path, 0o700); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	err = l.rewrite(l.entries())
	l.mu.Unlock()
	if err == nil {
		t.Fatal("it was renamed over a directory")
	}
	if err := l.Intend(1<<41, note); err != nil {
		t.Errorf("after that: %v", err)
	}
	if got := l.entries(); len(got) != 2 {
		t.Errorf("%d are in it", len(got))
	}
}

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Whoever asks for one process gets it, in whatever way the file says so; other files are
// read once only.
func TestWhoMayAskForOneProcess(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		text string
		may  bool
	}{
		"plain":   {"[daemon]\nhost = 'direct'\n", true},
		"escaped": {"[daemon]\nhost = \"\\u0064irect\"\n", true},
		"holder":  {"[daemon]\nhost = 'holder'\n", false},
		"comment": {"# direct\n[process.a]\ncmd = 'sleep 1'\n", true},
		"include": {"include = ['plain']\n", true},
		"none":    {"[process.a]\ncmd = 'sleep 1'\n", false},
	} {
		path := filepath.Join(dir, name+".toml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := mayBeDirect(path); got != c.may {
			t.Errorf("%s: mayBeDirect is %v", name, got)
		}
	}
	for name, direct := range map[string]bool{"plain": true, "escaped": true, "holder": false, "comment": false, "none": false} {
		f := daemonFlags{configs: []string{filepath.Join(dir, name+".toml")}}
		if got := !f.wantsHolder(); got != direct && canHold {
			t.Errorf("%s: one process %v, want %v", name, got, direct)
		}
	}
	if !mayBeDirect(filepath.Join(dir, "missing.toml")) || !mayBeDirect(dir) {
		t.Error("what can't be read is for who reads it")
	}
}

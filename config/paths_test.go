package config_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/gafferpm/gaffer/config"
)

func TestDirectories(t *testing.T) {
	tests := map[string]struct {
		env            map[string]string
		uid            int
		state, runtime string
	}{
		"root":          {map[string]string{"XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"}, 0, "/var/lib/gaffer", "/run/gaffer"},
		"asked for":     {map[string]string{"GAFFER_STATE_DIR": "/a", "GAFFER_RUNTIME_DIR": "/b"}, 0, "/a", "/b"},
		"user":          {map[string]string{"XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"}, 7, "/s/gaffer", "/r/gaffer"},
		"plain user":    {map[string]string{"HOME": "/h"}, 7, "/h/.local/state/gaffer", filepath.Join(os.TempDir(), "gaffer-7")},
		"no home":       {nil, 2000000001, filepath.Join(os.TempDir(), "gaffer-2000000001-state"), filepath.Join(os.TempDir(), "gaffer-2000000001")},
		"home of all":   {map[string]string{"HOME": "/"}, 7, filepath.Join(os.TempDir(), "gaffer-7-state"), filepath.Join(os.TempDir(), "gaffer-7")},
		"relative, too": {map[string]string{"HOME": "/h", "XDG_STATE_HOME": "s", "XDG_RUNTIME_DIR": "r"}, 7, "/h/.local/state/gaffer", filepath.Join(os.TempDir(), "gaffer-7")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			getenv := func(k string) string { return tt.env[k] }
			if got := config.StateDir(getenv, tt.uid); got != tt.state {
				t.Errorf("state %s, want %s", got, tt.state)
			}
			if got := config.RuntimeDir(getenv, tt.uid); got != tt.runtime {
				t.Errorf("runtime %s, want %s", got, tt.runtime)
			}
		})
	}
}

// A runtime directory that can't be made is another one, unless it was named or the
// other one is somebody else's.
func TestRuntimeDirThatCanNotBeMade(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	uid := os.Geteuid()
	file := filepath.Join(tmp, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if uid == 0 {
		uid = 7 // for root there is no variable
	}
	other := filepath.Join(tmp, "gaffer-"+strconv.Itoa(uid))
	for _, tt := range []struct {
		env            map[string]string
		dir, insteadOf string
	}{
		{map[string]string{"XDG_RUNTIME_DIR": tmp}, tmp + "/gaffer", ""},
		{map[string]string{"XDG_RUNTIME_DIR": tmp + "/no/such"}, tmp + "/no/such/gaffer", ""},
		{map[string]string{"XDG_RUNTIME_DIR": file}, other, file + "/gaffer"},
		{map[string]string{"GAFFER_RUNTIME_DIR": file}, file, ""},
		{nil, other, ""},
	} {
		dir, insteadOf := config.UsableRuntimeDir(func(k string) string { return tt.env[k] }, uid)
		if dir != tt.dir || insteadOf != tt.insteadOf {
			t.Errorf("%v: got %s instead of %q", tt.env, dir, insteadOf)
		}
	}
	if err := os.Symlink(tmp, other); err != nil {
		t.Fatal(err)
	}
	dir, _ := config.UsableRuntimeDir(func(k string) string { return map[string]string{"XDG_RUNTIME_DIR": file}[k] }, uid)
	if dir != file+"/gaffer" {
		t.Errorf("got %s, which is not a directory of the user's own", dir)
	}
}

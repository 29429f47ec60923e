package config_test

import (
	"os"
	"path/filepath"
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

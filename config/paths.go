package config

import (
	"fmt"
	"os"
	"path/filepath"
)

// StateDir is where gaffer keeps what has to outlive it: GAFFER_STATE_DIR, else
// /var/lib/gaffer for root, else gaffer in XDG_STATE_HOME.
func StateDir(getenv func(string) string, uid int) string {
	switch {
	case getenv("GAFFER_STATE_DIR") != "":
		return getenv("GAFFER_STATE_DIR")
	case uid == 0:
		return "/var/lib/gaffer"
	case filepath.IsAbs(getenv("XDG_STATE_HOME")):
		return filepath.Join(getenv("XDG_STATE_HOME"), "gaffer")
	}
	return filepath.Join(getenv("HOME"), ".local", "state", "gaffer")
}

// RuntimeDir is where gaffer has its sockets: GAFFER_RUNTIME_DIR, else
// /run/gaffer for root, else gaffer in XDG_RUNTIME_DIR, else a directory of the
// user's own below that for temporary files.
func RuntimeDir(getenv func(string) string, uid int) string {
	switch {
	case getenv("GAFFER_RUNTIME_DIR") != "":
		return getenv("GAFFER_RUNTIME_DIR")
	case uid == 0:
		return "/run/gaffer"
	case filepath.IsAbs(getenv("XDG_RUNTIME_DIR")):
		return filepath.Join(getenv("XDG_RUNTIME_DIR"), "gaffer")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("gaffer-%d", uid))
}

// DaemonPath is the file of the daemon: asked, which is what --config says, else
// GAFFER_CONFIG, else gaffer/gaffer.toml in XDG_CONFIG_HOME (~/.config), or
// /etc/gaffer/gaffer.toml for root. It is "" when there is none, which is fine; a
// file that was asked for is returned whether it is there or not.
func DaemonPath(asked string, getenv func(string) string, uid int, exists func(path string) bool) string {
	if asked == "" {
		asked = getenv("GAFFER_CONFIG")
	}
	if asked != "" {
		return asked
	}
	path := "/etc/gaffer/gaffer.toml"
	if uid != 0 {
		home := getenv("XDG_CONFIG_HOME")
		if !filepath.IsAbs(home) {
			home = filepath.Join(getenv("HOME"), ".config")
		}
		path = filepath.Join(home, "gaffer", TOMLName)
	}
	if exists(path) {
		return path
	}
	return ""
}

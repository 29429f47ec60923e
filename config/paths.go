package config

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// StateDir is where gaffer keeps what has to outlive it: GAFFER_STATE_DIR, else
// /var/lib/gaffer for root, else gaffer in XDG_STATE_HOME, which is .local/state in the
// home directory. For one who has none it is below the directory of temporary files.
func StateDir(getenv func(string) string, uid int) string {
	switch {
	case getenv("GAFFER_STATE_DIR") != "":
		return getenv("GAFFER_STATE_DIR")
	case uid == 0:
		return "/var/lib/gaffer"
	case filepath.IsAbs(getenv("XDG_STATE_HOME")):
		return filepath.Join(getenv("XDG_STATE_HOME"), "gaffer")
	}
	if home := homeOf(getenv, uid); home != "" {
		return filepath.Join(home, ".local", "state", "gaffer")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("gaffer-%d-state", uid))
}

// homeOf is a user's home directory, "" if there is none.
func homeOf(getenv func(string) string, uid int) string {
	home := getenv("HOME")
	if home == "" {
		if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
			home = u.HomeDir
		}
	}
	if !filepath.IsAbs(home) || home == "/" || home == "/nonexistent" {
		return ""
	}
	return home
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
	return temporaryDir(uid)
}

func temporaryDir(uid int) string { return filepath.Join(os.TempDir(), fmt.Sprintf("gaffer-%d", uid)) }

// UsableRuntimeDir is RuntimeDir where that can be written or made. Elsewhere, as in a
// container with a file system that can't be written, it is the directory for temporary
// files that a user without XDG_RUNTIME_DIR has, and instead of what. Daemon and clients
// come to the same one.
func UsableRuntimeDir(getenv func(string) string, uid int) (dir, insteadOf string) {
	dir, other := RuntimeDir(getenv, uid), temporaryDir(uid)
	if dir == other || getenv("GAFFER_RUNTIME_DIR") != "" || canMake(dir) || !canMake(other) {
		return dir, ""
	}
	if info, err := os.Lstat(other); err == nil && (!info.IsDir() || owner(info) != uint32(uid)) {
		return dir, "" // somebody else was quicker
	}
	return other, dir
}

// canMake says whether there is a directory that can be written, or could be.
func canMake(dir string) bool {
	for {
		err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK, unix.AT_EACCESS)
		if !errors.Is(err, unix.ENOENT) || dir == "/" {
			return err == nil
		}
		dir = filepath.Dir(dir)
	}
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

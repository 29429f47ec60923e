package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// PrivateDir makes a directory for what gaffer alone may change, its state or its
// sockets, with mode 0700, and those that are missing on the way to it. One that is
// there is refused when somebody else owns it or can write it, or could put
// another one in its place.
func PrivateDir(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return pathError(path, err)
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o755); err != nil {
		return pathError(path, err)
	}
	if err := os.Mkdir(abs, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return pathError(path, err)
	}
	t := privateTrust()
	if err := t.parent(abs); err != nil {
		return err
	}
	return t.directory(abs)
}

// privateTrust is that of directories: nobody else may write them.
func privateTrust() *trust {
	if os.Geteuid() == 0 {
		return rootTrust()
	}
	t := daemonTrust()
	t.write = 0o022
	return t
}

// parent tells why a directory can't be trusted because of where it is: others
// could rename what is in it. As root all that is on the way is looked at anyway.
func (t *trust) parent(path string) error {
	if t.way {
		return nil
	}
	info, err := os.Lstat(path)
	if err != nil {
		return pathError(path, err)
	}
	if info.Mode()&fs.ModeSymlink != 0 && !slices.Contains(t.owners, owner(info)) {
		return &Fault{File: path, Message: fmt.Sprintf("is a symbolic link of user %d", owner(info))}
	}
	up := filepath.Dir(path)
	if info, err = os.Stat(up); err != nil {
		return pathError(up, err)
	}
	how := *t
	how.write = 0o002
	if info.Mode()&fs.ModeSticky != 0 {
		how.write = 0
	}
	return asError(how.owned(up, "is on the way to "+path+", ", info))
}

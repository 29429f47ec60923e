package config

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// trust says on whose files gaffer acts: who can write a file could run anything
// as the user that gaffer runs as.
type trust struct {
	who    string      // whom gaffer runs as, for messages
	owners []uint32    // whose files are good; none: anybody's
	write  fs.FileMode // the permissions to write that a file must not give
	way    bool        // the directories on the way to a file are looked at as well
}

// ownTrust is that of commands that a user runs in the foreground. Root takes no
// risk; anybody else is free to run what a directory has, as with make.
func ownTrust() *trust {
	if os.Geteuid() != 0 {
		return &trust{}
	}
	return rootTrust()
}

// daemonTrust is that of the daemon. Without being root it runs what belongs to
// root or to its user and is not for everybody to write; whom a user's group lets
// in is that user's choice.
func daemonTrust() *trust {
	if uid := os.Geteuid(); uid != 0 {
		return &trust{who: fmt.Sprintf("user %d", uid), owners: []uint32{0, uint32(uid)}, write: 0o002}
	}
	return rootTrust()
}

func rootTrust() *trust {
	t := &trust{who: "root", owners: []uint32{0}, write: 0o022, way: true}
	// Whoever owns the root directory can replace everything. In a user namespace
	// that is somebody without a number of his own.
	if info, err := os.Stat("/"); err == nil {
		t.owners = append(t.owners, owner(info))
	}
	return t
}

func owner(info fs.FileInfo) uint32 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return 0
}

// read reads a regular file, at most MaxFileSize of it.
func (t *trust) read(path string) ([]byte, error) {
	f, err := t.open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return nil, pathError(path, err)
	}
	if len(data) > MaxFileSize {
		return nil, &Fault{File: path, Message: "is larger than 1 MiB, the limit for configuration"}
	}
	return data, nil
}

// open opens a regular file. It is looked at once it is open, so that nobody can
// exchange it in between; and it is opened without waiting, which one that turns
// out to be a FIFO would do for ever.
func (t *trust) open(path string) (*os.File, error) {
	f, err := t.openAny(path)
	if err != nil {
		return nil, err
	}
	if err := t.file(path, f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (t *trust) openAny(path string) (*os.File, error) {
	if t.way {
		return t.walk(path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, pathError(path, err)
	}
	return f, nil
}

// file tells why an open file is not acted on.
func (t *trust) file(path string, f *os.File) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return pathError(path, err)
	case info.IsDir():
		return &Fault{File: path, Message: "is a directory, want a file"}
	case !info.Mode().IsRegular():
		return &Fault{File: path, Message: "is not a regular file"}
	}
	return asError(t.owned(path, "", info))
}

// directory tells why a directory's files are not acted on.
func (t *trust) directory(path string) error {
	f, err := t.openAny(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return pathError(path, err)
	}
	if !info.IsDir() {
		return &Fault{File: path, Message: "is no directory"}
	}
	return asError(t.owned(path, "", info))
}

// asError is nil where there is no fault.
func asError(f *Fault) error {
	if f == nil {
		return nil
	}
	return f
}

// owned tells why not to act on what somebody else owns or can write. what says
// how it matters, "" being for the file itself.
func (t *trust) owned(path, what string, info fs.FileInfo) *Fault {
	if len(t.owners) == 0 {
		return nil
	}
	if uid := owner(info); !slices.Contains(t.owners, uid) {
		return &Fault{File: path, Message: fmt.Sprintf("%sbelongs to user %d, and gaffer runs as %s: "+
			"its owner could run anything as %s; run gaffer as that user, or `chown %s %s`", what, uid, t.who, t.who, strings.TrimPrefix(t.who, "user "), path)}
	}
	if info.Mode().Perm()&t.write != 0 {
		who := "go-w"
		if t.write == 0o002 {
			who = "o-w"
		}
		return &Fault{File: path, Message: fmt.Sprintf("%scan be written by others (mode %#o), and gaffer runs as %s: "+
			"they could run anything as %s; `chmod %s %s`", what, info.Mode().Perm(), t.who, t.who, who, path)}
	}
	return nil
}

// Trusted tells why the daemon should not act on an open file: somebody else than
// its user or root owns it or can write it. Path is how the error calls it. The
// directories on the way are not looked at: OpenTrusted does that as well.
func Trusted(f *os.File, path string) error { return daemonTrust().file(path, f) }

// OpenTrusted opens a regular file that the daemon may act on; for root, every
// directory and symbolic link on the way to it is such a one too.
func OpenTrusted(path string) (*os.File, error) { return daemonTrust().open(path) }

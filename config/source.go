package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"
)

// MaxFileSize is how large a configuration file may be, in bytes.
const MaxFileSize = 1 << 20

// source is a file that was read and is text.
type source struct {
	path string // as it was given, for messages
	text string // without a byte order mark
}

// readSource reads a regular file that root may trust and that is text.
func readSource(path string) (*source, error) {
	data, err := readTrusted(path)
	if err != nil {
		return nil, err
	}
	return newSource(path, data)
}

// newSource checks that data is text.
func newSource(path string, data []byte) (*source, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	s := &source{path: path, text: string(data)}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, s.wholeFault("is in UTF-16; save it as UTF-8")
	}
	if i := strings.IndexByte(s.text, 0); i >= 0 {
		return nil, s.fault(span{i, i + 1}, "a NUL byte: this is not a text file")
	}
	if !utf8.ValidString(s.text) {
		i := invalidAt(s.text)
		return nil, s.fault(span{i, i + 1}, "byte 0x%02x is not UTF-8; save the file as UTF-8", s.text[i])
	}
	return s, nil
}

// invalidAt is where a text stops being UTF-8.
func invalidAt(s string) int {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(s)
}

// readTrusted reads a regular file, at most MaxFileSize of it. Running as root
// it refuses what somebody else owns or can write: who can change the file could
// run anything as root.
func readTrusted(path string) ([]byte, error) {
	// What is no regular file is found out before it is opened: opening a FIFO
	// that nobody writes to would wait for ever.
	info, err := os.Stat(path)
	if err != nil {
		return nil, pathError(path, err)
	}
	if info.IsDir() {
		return nil, &Fault{File: path, Message: "is a directory, want a file"}
	}
	if !info.Mode().IsRegular() {
		return nil, &Fault{File: path, Message: "is not a regular file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, pathError(path, err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, pathError(path, err)
	}
	if os.Geteuid() == 0 {
		if err := trusted(path, info); err != nil {
			return nil, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return nil, pathError(path, err)
	}
	if len(data) > MaxFileSize {
		return nil, &Fault{File: path, Message: "is larger than 1 MiB, the limit for configuration"}
	}
	return data, nil
}

// pathError is an error about a path, the path first.
func pathError(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// trusted tells why root should not act on a file.
func trusted(path string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
		return &Fault{File: path, Message: fmt.Sprintf("belongs to user %d, and gaffer runs as root: "+
			"its owner could run anything as root; run gaffer as that user, or `chown root %s`", st.Uid, path)}
	}
	if info.Mode().Perm()&0o022 != 0 {
		return &Fault{File: path, Message: fmt.Sprintf("can be written by others (mode %#o), and gaffer runs as root: "+
			"they could run anything as root; `chmod go-w %s`", info.Mode().Perm(), path)}
	}
	return nil
}

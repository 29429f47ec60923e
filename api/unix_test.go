package api

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gafferpm/gaffer"
)

// shortDir is a directory of the test's own, with a name that is short enough for
// the address of a socket.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gaffer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestASocketHasItsModeWhateverTheUmask(t *testing.T) {
	dir := shortDir(t)
	for umask, mode := range map[int]os.FileMode{0: 0, 0o077: 0o660, 0o022: 0o666} {
		path := filepath.Join(dir, strconv.Itoa(umask))
		old := syscall.Umask(umask)
		l, err := listenUnix(path, mode)
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if want := max(mode, 0o600); err != nil || mode != 0 && info.Mode().Perm() != mode || mode == 0 && info.Mode().Perm() != 0o600 {
			t.Errorf("umask %o: mode %v, want %v %v", umask, info.Mode(), want, err)
		}
		l.Close()
	}
}

func TestASocketThatNobodyAnswersIsReplaced(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	first, err := listenUnix(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(path, 0); !errors.Is(err, gaffer.ErrConflict) || !strings.Contains(err.Error(), "answers") {
		t.Errorf("one that is answered: %v", err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	first.Close()
	second, err := listenUnix(path, 0)
	if err != nil {
		t.Fatalf("one that is left over: %v", err)
	}
	second.Close()
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(path, 0); !errors.Is(err, gaffer.ErrConflict) {
		t.Errorf("a file: %v", err)
	}
	if b, err := os.ReadFile(path); string(b) != "mine" {
		t.Errorf("the file is gone: %v", err)
	}
}

func TestASocketIsOpenedOnlyWhereNobodyElseCanReplaceIt(t *testing.T) {
	dir := shortDir(t)
	for name, mode := range map[string]os.FileMode{"group": 0o770, "all": 0o777} {
		sub := filepath.Join(dir, name)
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(sub, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := listenUnix(filepath.Join(sub, "s"), 0); !errors.Is(err, gaffer.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Chmod(sub, mode|os.ModeSticky); err != nil {
			t.Fatal(err)
		}
		l, err := listenUnix(filepath.Join(sub, "s"), 0)
		if err != nil {
			t.Errorf("%s, sticky: %v", name, err)
			continue
		}
		l.Close()
	}
	for _, path := range []string{"relative", filepath.Join(dir, "nowhere", "s"), filepath.Join(dir, strings.Repeat("x", 200))} {
		if _, err := listenUnix(path, 0); err == nil {
			t.Errorf("%.40s: no error", path)
		}
	}
	if os.Geteuid() != 0 {
		return // the rest needs to give a directory away
	}
	if err := os.Chown(filepath.Join(dir, "group"), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(filepath.Join(dir, "group", "t"), 0); !errors.Is(err, gaffer.ErrInvalid) {
		t.Errorf("somebody else's directory: %v", err)
	}
}

func TestTheCallerOfAConnectionIsFoundOutOnce(t *testing.T) {
	socket := filepath.Join(shortDir(t), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{unix: true, opts: &Endpoint{}}
	info, _ := e.connected(t.Context(), accepted).Value(connKey{}).(*conn)
	accepted.Close() // the credentials are there already
	first := info.caller()
	if !strings.HasPrefix(first.By, "uid "+strconv.Itoa(os.Geteuid())) || first.Role != Admin || info.caller() != first {
		t.Errorf("%+v, and then %+v", first, info.caller())
	}
}

package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer/config"
)

const nobody = 65534

// asRoot skips a test that only root can set up.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
}

func chown(t *testing.T, path string, uid int) {
	t.Helper()
	if err := os.Lchown(path, uid, uid); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// Who can write a directory can put another file in place of root's.
func TestRootRefusesDirectoriesOfOthersOnTheWay(t *testing.T) {
	asRoot(t)
	dir := write(t, map[string]string{"a/b/gaffer.toml": "[process.a]\ncmd = 'x'\n"})
	path, a := filepath.Join(dir, "a/b/gaffer.toml"), filepath.Join(dir, "a")
	good := func() {
		t.Helper()
		if _, err := config.Load(path, config.Options{}); err != nil {
			t.Error(err)
		}
	}
	bad := func(want string) {
		t.Helper()
		_, err := config.Load(path, config.Options{})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
		if _, err := config.LoadDaemon([]string{path}, config.Options{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("the daemon got %v\nwant %s", err, want)
		}
	}
	good()
	chmod(t, a, 0o777)
	bad(a + ": is on the way to " + path + ", can be written by others (mode 0777), and gaffer runs as root")
	chmod(t, a, 0o775)
	bad(a + ": is on the way to " + path + ", can be written by others (mode 0775)")
	chmod(t, a, 0o777|fs.ModeSticky)
	good() // others can't replace what is root's
	chown(t, a, nobody)
	bad(a + ": is on the way to " + path + ", belongs to user 65534")
	chmod(t, a, 0o700)
	bad(a + ": is on the way to " + path + ", belongs to user 65534")
}

func TestRootFollowsOnlyLinksOfItsOwn(t *testing.T) {
	asRoot(t)
	dir := write(t, map[string]string{"real/gaffer.toml": "[process.a]\ncmd = 'x'\nenv_files = ['a.env']\n", "theirs/gaffer.toml": "[process.a]\ncmd = 'x'\n"})
	chown(t, filepath.Join(dir, "theirs"), nobody)
	for name, target := range map[string]string{
		"file.toml": "real/gaffer.toml", "abs.toml": filepath.Join(dir, "real/gaffer.toml"), "way": "./real/../real", "two.toml": "way/gaffer.toml",
		"others.toml": "theirs/gaffer.toml", "loop.toml": "loop.toml", "gone.toml": "none",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"file.toml": "", "abs.toml": "", "way/gaffer.toml": "", "two.toml": "", "real/../file.toml": "",
		"others.toml":      filepath.Join(dir, "theirs") + ": is on the way to ",
		"loop.toml":        filepath.Join(dir, "loop.toml") + ": too many levels of symbolic links",
		"gone.toml":        filepath.Join(dir, "gone.toml") + ": no such file or directory",
		"file.toml/x.toml": filepath.Join(dir, "file.toml/x.toml") + ": not a directory",
	} {
		f, err := config.OpenTrusted(dir + "/" + name)
		if err == nil {
			f.Close()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	// In a sticky directory anybody may make a link; what it points at is chosen by them.
	chmod(t, dir, 0o777|fs.ModeSticky)
	chown(t, filepath.Join(dir, "file.toml"), nobody)
	_, err := config.OpenTrusted(filepath.Join(dir, "file.toml"))
	if err == nil || !strings.Contains(err.Error(), "is a symbolic link on the way to ") {
		t.Errorf("got %v", err)
	}
}

func TestRootRefusesEverythingOfOthersThatIsRead(t *testing.T) {
	asRoot(t)
	cert, key := certificate(t)
	files := map[string]string{
		"gaffer.toml": "include = ['more.toml']\n[process.a]\ncmd = 'x'\nenv_files = ['a.env']\n[webhook.x]\nurl = 'https://h/'\nsecret_file = 's'\nca_file = 'ca.pem'\n" +
			"[plugin.p]\ndir = 'p'\n[[daemon.listen]]\naddress = '1'\ntls_cert = 'c.pem'\ntls_key = 'k.pem'\nclient_ca = 'cca.pem'\n",
		"more.toml": "[process.b]\ncmd = 'x'\n", "a.env": "A=1\n", "s": "s", "ca.pem": cert, "c.pem": cert, "k.pem": key, "cca.pem": cert, "p/index.html": "",
	}
	for name := range files {
		name = strings.TrimSuffix(name, "/index.html")
		dir := write(t, files)
		if _, err := loadDaemon(t, dir, config.Options{}, "gaffer.toml"); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		chown(t, path, nobody)
		_, err := loadDaemon(t, dir, config.Options{}, "gaffer.toml")
		if err == nil || !strings.Contains(err.Error(), path+": belongs to user 65534, and gaffer runs as root") {
			t.Errorf("%s: got %v", name, err)
		}
		chown(t, path, 0)
		chmod(t, path, 0o777)
		_, err = loadDaemon(t, dir, config.Options{}, "gaffer.toml")
		if err == nil || !strings.Contains(err.Error(), path+": can be written by others (mode 0777), and gaffer runs as root") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestUserRefusesFilesThatEverybodyCanWrite(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root refuses more; this is about an ordinary user's daemon")
	}
	dir := write(t, map[string]string{"gaffer.toml": "[process.a]\ncmd = 'x'\n"})
	path := filepath.Join(dir, "gaffer.toml")
	for mode, good := range map[fs.FileMode]bool{0o600: true, 0o644: true, 0o664: true, 0o666: false, 0o602: false} {
		chmod(t, path, mode)
		if _, err := config.Load(path, config.Options{}); err != nil {
			t.Errorf("in the foreground, mode %#o: %v", mode, err)
		}
		_, err := config.LoadDaemon([]string{path}, config.Options{})
		if (err == nil) != good {
			t.Errorf("mode %#o: got %v", mode, err)
		}
		if err != nil && !strings.Contains(err.Error(), "can be written by others") {
			t.Error(err)
		}
	}
}

func TestOpenFileIsChecked(t *testing.T) {
	asRoot(t)
	dir := write(t, map[string]string{"x": ""})
	f, err := os.Open(filepath.Join(dir, "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := config.Trusted(f, "x"); err != nil {
		t.Error(err)
	}
	// It is the open file that counts, whatever has come to be at its path.
	if err := os.Rename(f.Name(), f.Name()+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Name(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	chown(t, f.Name()+".old", nobody)
	if err := config.Trusted(f, "x"); err == nil || !strings.HasPrefix(err.Error(), "x: belongs to user 65534") {
		t.Errorf("got %v", err)
	}
}

func TestWalkDoesNotOpenWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		fifo: "is not a regular file", "/dev/null": "is not a regular file", dir: "is a directory, want a file", "/": "is a directory, want a file",
	} {
		if _, err := config.OpenTrusted(path); err == nil || err.Error() != path+": "+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := config.OpenTrusted(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestPrivateDirIsMade(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "state")
	for range 2 { // the second time it is there
		if err := config.PrivateDir(path); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	for mode, good := range map[fs.FileMode]bool{0o755: true, 0o775: false, 0o777: false, 0o777 | fs.ModeSticky: false} {
		chmod(t, path, mode)
		if err := config.PrivateDir(path); (err == nil) != good {
			t.Errorf("mode %v: got %v", mode, err)
		}
	}
	chmod(t, path, 0o700)
	up := filepath.Dir(path)
	chmod(t, up, 0o777)
	if err := config.PrivateDir(path); err == nil || !strings.HasPrefix(err.Error(), up+": is on the way to "+path) {
		t.Errorf("got %v", err)
	}
	chmod(t, up, 0o777|fs.ModeSticky)
	if err := config.PrivateDir(path); err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := config.PrivateDir(file); err == nil || err.Error() != file+": is no directory" {
		t.Errorf("got %v", err)
	}
	if err := config.PrivateDir(filepath.Join(file, "x")); err == nil {
		t.Error("a directory in a file")
	}
}

func TestPrivateDirOfSomebodyElseIsRefused(t *testing.T) {
	asRoot(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	chown(t, path, nobody)
	if err := config.PrivateDir(path); err == nil || !strings.HasPrefix(err.Error(), path+": belongs to user 65534") {
		t.Errorf("got %v", err)
	}
	// A link that somebody put there, to a directory of root's.
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/root", link); err != nil {
		t.Fatal(err)
	}
	chown(t, link, nobody)
	if err := config.PrivateDir(link); err == nil || !strings.HasPrefix(err.Error(), link+": is a symbolic link") {
		t.Errorf("got %v", err)
	}
}

// An env file may come to be later. Root must know by then whose it can be.
func TestRootRefusesEnvFilesThatOthersCouldMake(t *testing.T) {
	asRoot(t)
	dir := write(t, map[string]string{"gaffer.toml": "[process.a]\ncmd = 'x'\nenv_files = ['sub/no/a.env']\n", "sub/x": ""})
	if _, err := load(t, dir, "gaffer.toml", config.Options{}); err != nil {
		t.Error(err)
	}
	sub := filepath.Join(dir, "sub")
	want := "template a: env_files: " + sub + ": is where " + filepath.Join(sub, "no/a.env") + " would be, can be written by others"
	for _, mode := range []fs.FileMode{0o777 | fs.ModeSticky, 0o775 | fs.ModeSticky} {
		chmod(t, sub, mode)
		if _, err := load(t, dir, "gaffer.toml", config.Options{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	chmod(t, sub, 0o755)
	chown(t, sub, nobody)
	if _, err := load(t, dir, "gaffer.toml", config.Options{}); err == nil || !strings.Contains(err.Error(), sub+": is on the way to ") {
		t.Errorf("got %v", err)
	}
}

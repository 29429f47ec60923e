package proc

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProgramIsFoundAsTheStartWouldFindIt(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	tool := write(t, filepath.Join(bin, "tool"), "#!/bin/sh\n", 0o755)
	write(t, filepath.Join(bin, "plain"), "x", 0o644)
	write(t, filepath.Join(bin, "broken"), "#! /no/such/thing -e\n", 0o755)
	if err := os.Symlink("tool", filepath.Join(bin, "link")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		program, path, dir string
		want               string
		err                error
		says               string
	}{
		{program: "tool", path: "/nowhere:" + bin, want: tool},
		{program: "link", path: bin, want: filepath.Join(bin, "link")},
		{program: "tool", path: "bin", dir: dir, want: "bin/tool"},
		{program: "tool", path: ":/nowhere", dir: bin, want: "./tool"},
		{program: "./tool", dir: bin, want: "./tool"},
		{program: tool, dir: "/", want: tool},
		{program: "", path: bin, err: syscall.ENOENT},
		{program: "tool", path: "", err: syscall.ENOENT, says: "program tool: not found in PATH"},
		{program: "nothing", path: bin, err: syscall.ENOENT, says: "nothing"},
		{program: "plain", path: bin, err: syscall.EACCES, says: "not executable"},
		{program: "./plain", dir: bin, err: syscall.EACCES},
		{program: "broken", path: bin, err: syscall.ENOENT, says: "interpreter /no/such/thing"},
		{program: bin, err: syscall.EISDIR, says: bin},
		{program: "/dev/null", err: syscall.EACCES, says: "not a regular file"},
		{program: tool + "/x", err: syscall.ENOTDIR},
	} {
		got, err := LookPath(test.program, test.path, test.dir, nil)
		if test.err == nil {
			if got != test.want || err != nil {
				t.Errorf("%q in %q at %q: got %q, %v, want %q", test.program, test.path, test.dir, got, err, test.want)
			}
			continue
		}
		if !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q in %q at %q: got %v, want %v that says %q", test.program, test.path, test.dir, err, test.err, test.says)
		}
	}
}

func TestProgramMustBeExecutableByItsUser(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "tool"), "x", 0o750)
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
	const other = 54321
	for _, test := range []struct {
		cred *Cred
		want bool
	}{
		{nil, true},
		{&Cred{UID: uid, GID: gid}, true},
		{&Cred{UID: other, GID: gid}, true},
		{&Cred{UID: other, GID: other, Groups: []uint32{gid}}, true},
		{&Cred{UID: other, GID: other}, false},
	} {
		_, err := LookPath(path, "", "", test.cred)
		if (err == nil) != test.want {
			t.Errorf("%+v: %v, want found %v", test.cred, err, test.want)
		}
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := LookPath(path, "", "", &Cred{UID: other, GID: other}); !errors.Is(err, syscall.EACCES) {
		t.Errorf("below a private directory: %v", err)
	}
	if err := LookDir(dir, &Cred{UID: other, GID: other}); !errors.Is(err, syscall.EACCES) || !strings.Contains(err.Error(), "54321") {
		t.Errorf("a private directory: %v", err)
	}
	if err := LookDir(dir, nil); err != nil {
		t.Errorf("an own directory: %v", err)
	}
	if err := LookDir(path, nil); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file as directory: %v", err)
	}
	if err := LookDir(dir+"/x", nil); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("a missing directory: %v", err)
	}
}

func TestInterpreterIsTheFirstWordOfAScript(t *testing.T) {
	for head, want := range map[string]string{
		"#!/bin/sh\nexit":       "/bin/sh",
		"#! \t/bin/sh -e x\n":   "/bin/sh",
		"#!/bin/sh":             "/bin/sh",
		"#!\n/bin/sh":           "",
		"#!":                    "",
		"# !/bin/sh":            "",
		"\x7fELF":               "",
		"":                      "",
		"#!/usr/bin/env python": "/usr/bin/env",
	} {
		if got := interpreterOf([]byte(head)); got != want {
			t.Errorf("%q: got %q, want %q", head, got, want)
		}
	}
}

func FuzzInterpreterOf(f *testing.F) {
	f.Add([]byte("#! /bin/sh -e\nx"))
	f.Fuzz(func(t *testing.T, head []byte) {
		if got := interpreterOf(head); strings.ContainsAny(got, "\n\x00 \t") || !strings.Contains(string(head), got) {
			t.Errorf("%q: got %q", head, got)
		}
	})
}

func TestShellIsTheLastFieldOfAnAccount(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/bash\nnone:x:1:1::/:\nshort:x:1\n:::::: \nann:x:5:5:Ann, a b:/home/ann:/bin/zsh\n"
	for name, want := range map[string]string{
		"root": "/bin/bash", "ann": "/bin/zsh", "none": defaultShell, "short": defaultShell, "nobody": defaultShell, "oo": defaultShell,
	} {
		if got := shellOf(strings.NewReader(passwd), name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func FuzzShellOf(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\n", "root")
	f.Fuzz(func(t *testing.T, passwd, name string) {
		if got := shellOf(strings.NewReader(passwd), name); got == "" || got != defaultShell && !strings.Contains(passwd, got) {
			t.Errorf("%q in %q: got %q", name, passwd, got)
		}
	})
}

func TestOwnUserIsAlwaysAllowed(t *testing.T) {
	self, err := user.Current()
	if err != nil {
		t.Skipf("no account: %v", err)
	}
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	for _, test := range []struct{ uid, gid string }{
		{self.Uid, ""}, {self.Username, ""}, {"", self.Gid}, {self.Uid, self.Gid},
	} {
		cred, account, err := LookupCred(test.uid, test.gid)
		if err != nil {
			t.Errorf("%+v: %v", test, err)
			continue
		}
		if cred.UID != uid || cred.GID != gid || !slices.Contains(cred.Groups, gid) {
			t.Errorf("%+v: got %+v", test, cred)
		}
		if (account != nil) != (test.uid != "") || account != nil && (account.Name != self.Username || account.Home != self.HomeDir || account.Shell == "") {
			t.Errorf("%+v: account %+v", test, account)
		}
	}
}

func TestUnknownUsersAreRefused(t *testing.T) {
	for _, test := range []struct{ uid, gid, says string }{
		{"no-such-user", "", "user no-such-user: not found"},
		{"", "no-such-group", "group no-such-group: not found"},
		{"-1", "0", "user -1"},
		{"4294967295", "0", "user 4294967295"},
		{"4294967296", "0", "user 4294967296"},
		{"", "4294967295", "group 4294967295"},
		{"123456789", "", "user 123456789: unknown, so a group is needed"},
	} {
		if _, _, err := LookupCred(test.uid, test.gid); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: got %v", test, err)
		}
	}
}

func TestRootMayBecomeAnybody(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	cred, account, err := LookupCred("123456789", "123")
	if err != nil || account != nil || cred.UID != 123456789 || cred.GID != 123 || !slices.Equal(cred.Groups, []uint32{123}) {
		t.Errorf("got %+v, %+v, %v", cred, account, err)
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf("no ordinary user here: %v", err)
	}
	cred, account, err = LookupCred(nobody.Uid, "")
	if err != nil || account == nil || account.Name != "nobody" {
		t.Fatalf("got %+v, %+v, %v", cred, account, err)
	}
	if gid, _ := parseID(nobody.Gid); cred.GID != gid || !slices.Contains(cred.Groups, gid) {
		t.Errorf("got %+v, want group %d", cred, gid)
	}
	if slices.Contains(cred.Groups, 0) {
		t.Errorf("it keeps root's group: %+v", cred)
	}
}

func TestOrdinaryUserMayNotBecomeAnother(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may become anybody")
	}
	for _, test := range []struct{ uid, gid string }{{"root", ""}, {"", "root"}, {"0", "0"}} {
		if _, _, err := LookupCred(test.uid, test.gid); !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "only root") {
			t.Errorf("%+v: got %v", test, err)
		}
	}
}

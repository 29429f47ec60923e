package proc

import (
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKinIsReadWhateverTheProgramIsCalled(t *testing.T) {
	tail := " S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 7 0 12345 1 1"
	for _, name := range []string{"sh", "a b", "a) S 9 9 9", "(", ")", ""} {
		k, ok := parseKin([]byte("77 (" + name + ")" + tail))
		want := kin{pid: 77, parent: 1, group: 2, session: 3, start: 12345}
		if !ok || k != want {
			t.Errorf("%q: got %+v, %v, want %+v", name, k, ok, want)
		}
	}
	for _, line := range []string{"", "77", "77 (sh", "77 sh) S 1 2 3", "x (sh)" + tail, "77 (sh) S 1 2", "77 (sh) S 1 2 x" + tail[8:]} {
		if k, ok := parseKin([]byte(line)); ok {
			t.Errorf("%q: got %+v", line, k)
		}
	}
}

func TestKinIsDeadOnlyWhenAllItsThreadsAre(t *testing.T) {
	for text, dead := range map[string]bool{
		"7 (x) Z 1 2 3 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 5": true,
		"7 (x) Z 1 2 3 0 -1 0 1 0 0 0 0 0 0 0 20 0 4 0 5": false,
		"7 (x) R 1 2 3 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 5": false,
		"7 (x) X 1 2 3 0 -1 0 1 0 0 0 0 0 0 0 20 0 0 0 5": true,
	} {
		if k, ok := parseKin([]byte(text)); !ok || k.dead != dead {
			t.Errorf("%q: got %+v, %v, want dead %v", text, k, ok, dead)
		}
	}
}

func FuzzParseKin(f *testing.F) {
	f.Add([]byte("77 (a b) S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 7 0 12345 1 1"))
	f.Add([]byte(") ("))
	f.Fuzz(func(t *testing.T, line []byte) {
		k, ok := parseKin(line)
		if !ok && k != (kin{}) && k.start != 0 {
			t.Errorf("%q: no answer, but %+v", line, k)
		}
	})
}

func TestOwnCgroupIsFoundInAnyMount(t *testing.T) {
	const v1 = "31 23 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
	for _, test := range []struct {
		name, mounts, path, want string
	}{
		{"plain", "30 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n", "/user.slice/a", "/sys/fs/cgroup/user.slice/a"},
		{"hybrid", v1 + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "/", "/sys/fs/cgroup/unified"},
		{"root of the mount is below", "30 23 0:27 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "/docker/1/x", "/sys/fs/cgroup/x"},
		{"root of the mount is elsewhere", "30 23 0:27 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "/docker/10/x", ""},
		{"second mount fits", "30 23 0:27 /a /mnt rw - cgroup2 c rw\n31 23 0:27 /b /other rw - cgroup2 c rw\n", "/b/x", "/other/x"},
		{"escaped", `30 23 0:27 / /my\040groups\134 rw - cgroup2 c rw` + "\n", "/x", `/my groups\/x`},
		{"only v1", v1, "/", ""},
		{"outside of the namespace", "30 23 0:27 / /sys/fs/cgroup rw - cgroup2 c rw\n", "/../x", ""},
		{"no mounts", "", "/", ""},
	} {
		got, err := ownCgroup(test.mounts, test.path)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: got %q, %v, want %q", test.name, got, err, test.want)
		}
	}
}

func TestMembershipIsTheLineWithoutControllers(t *testing.T) {
	for text, want := range map[string]string{
		"9:name=systemd:/a\n0::/b c\n": "/b c",
		"0::/\n":                       "/",
		"0::/x (deleted)\n":            "/x (deleted)",
		"9:name=systemd:/a\n":          "",
		"0::x\n":                       "",
		"":                             "",
	} {
		got, err := parseMembership(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func FuzzOwnCgroup(f *testing.F) {
	f.Add("30 23 0:27 /a /sys\\040x rw,nosuid shared:9 - cgroup2 cgroup2 rw\n", "0::/a/b\n")
	f.Add("1 2 3 \\ \\04 - - cgroup2", "0::/")
	f.Fuzz(func(t *testing.T, mounts, membership string) {
		path, err := parseMembership(membership)
		if err != nil {
			return
		}
		if dir, err := ownCgroup(mounts, path); err == nil && !strings.Contains(mounts, "cgroup2") {
			t.Errorf("%q in %q: found %q", path, mounts, dir)
		}
	})
}

func TestSignalSetsAreBits(t *testing.T) {
	for text, want := range map[string][]syscall.Signal{
		"0000000000000000": nil,
		"0000000000000001": {syscall.SIGHUP},
		"8000000000001000": {syscall.SIGPIPE, 64},
		"x":                nil,
		"":                 nil,
	} {
		if diff := cmp.Diff(want, signalSet(text)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func FuzzSignalSet(f *testing.F) {
	f.Add("8000000000001000")
	f.Fuzz(func(t *testing.T, text string) {
		for _, sig := range signalSet(text) {
			if sig < 1 || sig > 64 {
				t.Errorf("%q: signal %d", text, sig)
			}
		}
	})
}

func TestNumbersAreReadUntilSomethingElseComes(t *testing.T) {
	for text, want := range map[string][]int{
		"":         nil,
		"1 2 3 ":   {1, 2, 3},
		"1\n2\n":   {1, 2},
		"1 x 3":    {1},
		"99999999": {99999999},
	} {
		if diff := cmp.Diff(want, parseNumbers(text)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

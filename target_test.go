package gaffer

import (
	"errors"
	"strings"
	"testing"
)

func TestTargetsSelect(t *testing.T) {
	for _, c := range []struct {
		target string
		yes    string // name, or name.slot=id
		no     string
	}{
		{"*", "web jobs:mail web.1=4", ""},
		{"web", "web web.2=5", "webs jobs:web jobs:web.1=1"},
		{"jobs:mail", "jobs:mail jobs:mail.1=3", "mail jobs"},
		{"jobs:*", "jobs:mail jobs:x.3=9", "jobs web more:jobs"},
		{"web.2", "web.2=5", "web.1=2 jobs:web.2=1"},
		{"17", "web.1=17 jobs:a.2=17", "web.17=1"},
		{"web*", "web web2 web.1=1", "aweb jobs:web"},
		{"*b", "web b", "bus"},
		{"*:mail", "jobs:mail a:mail", "mail"},
		{"j*:m*l", "jobs:mail", "jobs:email"},
	} {
		for _, side := range []struct {
			list string
			want bool
		}{{c.yes, true}, {c.no, false}} {
			for _, item := range strings.Fields(side.list) {
				name, slot, id := readItem(item)
				if got := Target(c.target).Matches(name, slot, id); got != side.want {
					t.Errorf("%s matches %s: %v", c.target, item, got)
				}
			}
		}
	}
}

func readItem(s string) (name string, slot int, id uint64) {
	name, rest, found := strings.Cut(s, ".")
	if found {
		a, b, _ := strings.Cut(rest, "=")
		for _, c := range a {
			slot = slot*10 + int(c-'0')
		}
		for _, c := range b {
			id = id*10 + uint64(c-'0')
		}
	}
	return name, slot, id
}

func TestBadTargetsAreRefused(t *testing.T) {
	for _, s := range []string{"", "web.", "web.0", "web.-1", "web.x", "web.01", "0", "17a", "-1", "a/b", "a b", "a:b:c", "*/", "a:b:*", ".", "wéb", strings.Repeat("a", 64)} {
		if err := Target(s).Check(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"*", "jobs:*", "web.2", "17", "w[eb*", "w\\*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if Target(s).Check() != nil {
			return
		}
		if name, _, slot := strings.Cut(s, "."); CheckName(name) == nil && !slot && !Target(s).Matches(s, 0, 0) {
			t.Errorf("name %q does not match itself", s)
		}
		if strings.Contains(s, "*") {
			filled := strings.ReplaceAll(s, "*", "x")
			if CheckName(filled) == nil && !Target(s).Matches(filled, 0, 0) {
				t.Errorf("glob %q does not match %q", s, filled)
			}
		}
	})
}

func TestChangesAreRead(t *testing.T) {
	for in, want := range map[string]Change{"+2": {'+', 2}, "-1": {'-', 1}, "=3": {'=', 3}, "3": {'=', 3}, "=0": {'=', 0}} {
		if got, err := ParseChange(in); err != nil || got != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "+", "x", "--1", "=-1", "++1", "1.5", "+99999999", "9999999999999999999999"} {
		if got, err := ParseChange(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
}

func FuzzChange(f *testing.F) {
	f.Add("+2")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseChange(s)
		if err != nil {
			return
		}
		if again, err := ParseChange(c.String()); err != nil || again != c {
			t.Errorf("%q is read as %v, which is read as %v, %v", s, c, again, err)
		}
	})
}

package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestDetachKeys(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "ctrl-p,ctrl-q": "\x10\x11", "a": "a", "CTRL-A,d": "\x01d", "ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_": "\x00\x1b\x1c\x1d\x1e\x1f",
	} {
		if d, err := parseDetachKeys(text); err != nil || string(d.keys) != want {
			t.Errorf("%q: %q, %v", text, d.keys, err)
		}
	}
	for _, text := range []string{",", "a,", "ctrl-", "ctrl-1", "ctrl-pq", "ab", "é", " ", "alt-x"} {
		if _, err := parseDetachKeys(text); err == nil {
			t.Errorf("%q is no fault", text)
		}
	}
	for _, c := range []struct {
		keys, typed, want string // | is where what is typed is cut
		detach            bool
	}{
		{"ctrl-p,ctrl-q", "abc", "abc", false},
		{"ctrl-p,ctrl-q", "ab\x10\x11cd", "ab", true},
		{"ctrl-p,ctrl-q", "ab\x10|\x11cd", "ab", true},
		{"ctrl-p,ctrl-q", "\x10|x\x10\x10|\x11", "\x10x\x10", true},
		{"ctrl-p,ctrl-q", "\x10", "\x10", false},
		{"a,a,b", "aaa|ab", "aa", true},
		{"a,b,a,c", "ab|abab|ac", "abab", true},
		{"a,b,a,c", "ab|ab|x", "ababx", false},
		{"", "\x10\x11", "\x10\x11", false},
	} {
		d, err := parseDetachKeys(c.keys)
		if err != nil {
			t.Fatal(err)
		}
		got, detach := typeAll(d, strings.Split(c.typed, "|"))
		if string(got) != c.want || detach != c.detach {
			t.Errorf("%s, %q: %q, %v", c.keys, c.typed, got, detach)
		}
	}
}

func typeAll(d *detachKeys, pieces []string) (out []byte, detach bool) {
	for _, piece := range pieces {
		more, end := d.typed([]byte(piece))
		if out = append(out, more...); end {
			return out, true
		}
	}
	return append(out, d.rest()...), false
}

// However what is typed is cut into pieces, it is the same keys.
func FuzzDetachKeys(f *testing.F) {
	f.Add("a,b,a", []byte("ababa"), uint8(2))
	f.Add(defaultDetachKeys, []byte("x\x10\x10\x11y"), uint8(1))
	f.Add("a,a,b", []byte("aaab"), uint8(3))
	f.Fuzz(func(t *testing.T, text string, typed []byte, size uint8) {
		d, err := parseDetachKeys(text)
		if err != nil {
			return
		}
		want, found := typed, false
		if at := bytes.Index(typed, d.keys); at >= 0 && len(d.keys) > 0 {
			want, found = typed[:at], true
		}
		var pieces []string
		for rest := typed; len(rest) > 0; {
			n := min(len(rest), int(size)+1)
			pieces, rest = append(pieces, string(rest[:n])), rest[n:]
		}
		if got, detach := typeAll(d, pieces); !bytes.Equal(got, want) || detach != found {
			t.Errorf("keys %q, typed %q by %d: got %q, %v, want %q, %v", d.keys, typed, int(size)+1, got, detach, want, found)
		}
	})
}

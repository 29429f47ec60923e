package console

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCleanKeepsTextAndColours(t *testing.T) {
	tests := map[string]struct{ in, want, plain string }{
		"text":            {"hello wörld", "hello wörld", "hello wörld"},
		"tab":             {"a\tb", "a\tb", "a\tb"},
		"colour":          {"\x1b[1;31mred", "\x1b[1;31mred\x1b[0m", "red"},
		"colour, colons":  {"\x1b[38:5:1mx", "\x1b[38:5:1mx\x1b[0m", "x"},
		"not a colour":    {"\x1b[>4;2mx", "x", "x"},
		"carriage return": {"10%\r20%\r100%\r", "100%", "100%"},
		"bell":            {"a\ab", "a^Gb", "a^Gb"},
		"NUL, DEL":        {"\x00\x7f", "^@^?", "^@^?"},
		"erase":           {"a\x1b[2Jb\x1b[10;10Hc", "abc", "abc"},
		"title":           {"a\x1b]0;evil\ab\x1b]0;x\x1b\\c", "abc", "abc"},
		"open title":      {"a\x1b]0;evil", "a", "a"},
		"device control":  {"a\x1bP+q\x1b\\b", "ab", "ab"},
		"charset":         {"a\x1b(0b\x1bcc", "abc", "abc"},
		"cut off":         {"a\x1b[31", "a", "a"},
		"lone escape":     {"a\x1b", "a", "a"},
		"invalid":         {"a\xffb\x9b31m", "a�b�31m", "a�b�31m"},
		"Latin-1 control": {"a\u009b31mb", "a�31mb", "a�31mb"},
		"right to left":   {"a\u202eb", "a�b", "a�b"},
		"two escapes":     {"\x1b\x1b[31mx", "\x1b[31mx\x1b[0m", "x"},
		"escape in csi":   {"\x1b[3\x1b[0mx", "\x1b[0mx\x1b[0m", "x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := string(appendClean(nil, []byte(tt.in), true)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := string(appendClean(nil, []byte(tt.in), false)); got != tt.plain {
				t.Errorf("without colour: got %q, want %q", got, tt.plain)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"x\x1b[31my", "\x1b]0;x\a", "\x1b[", "\r", "\xff\x9b", "\u202e"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		plain := appendClean(nil, in, false)
		if bytes.ContainsFunc(plain, func(r rune) bool { return r < 0x20 && r != '\t' || r >= 0x7f && r < 0xa0 }) {
			t.Errorf("%q became %q, with a control character", in, plain)
		}
		color := appendClean(nil, in, true)
		if !utf8.Valid(color) {
			t.Errorf("%q became %q, which is not UTF-8", in, color)
		}
		// Without its colours it is the same.
		rest := string(color)
		for {
			before, after, found := strings.Cut(rest, "\x1b[")
			if !found {
				break
			}
			end := strings.IndexByte(after, 'm')
			if end < 0 || !plainNumbers([]byte(after[:end])) {
				t.Fatalf("%q became %q, with more than colours", in, color)
			}
			rest = before + after[end+1:]
		}
		if rest != string(plain) {
			t.Errorf("%q became %q and %q", in, color, plain)
		}
	})
}

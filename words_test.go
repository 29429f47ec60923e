package gaffer

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestWordsAreSplitAsAShellDoes(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"a b  c", []string{"a", "b", "c"}},
		{"\t a\n b ", []string{"a", "b"}},
		{"", nil},
		{`'a b' "c d"`, []string{"a b", "c d"}},
		{`a'b'"c"d`, []string{"abcd"}},
		{`'' ""`, []string{"", ""}},
		{`a\ b \"`, []string{"a b", `"`}},
		{`"a\"b\\c\d"`, []string{`a"b\c\d`}},
		{"a\\\nb", []string{"ab"}},
		{"a | b > c; d & # e", []string{"a", "|", "b", ">", "c;", "d", "&", "#", "e"}},
		{"$HOME ${HOME} '$HOME' \\$HOME \"$HOME\" \"\\$HOME\"", []string{"$HOME", "${HOME}", "$$HOME", "$$HOME", "$HOME", "$$HOME"}},
		{"${A:-b c} d", []string{"${A:-b c}", "d"}},
		{"${A:-${B:-b c}} d", []string{"${A:-${B:-b c}}", "d"}},
		{`${A:-"b c"}`, []string{"${A:-b c}"}},
		{"é ü", []string{"é", "ü"}},
	} {
		got, err := SplitWords(c.in)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}

func TestUnfinishedWordsAreRefused(t *testing.T) {
	for _, in := range []string{`'a`, `"a`, `a\`, `"a\"`, "${A", "a ${A:-b c"} {
		if got, err := SplitWords(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

var vars = map[string]string{"A": "1 2", "EMPTY": "", "_x9": "y"}

func lookupVar(name string) (string, bool) { v, ok := vars[name]; return v, ok }

func TestVariablesAreExpanded(t *testing.T) {
	for in, want := range map[string]string{
		"":                  "",
		"plain":             "plain",
		"$A":                "1 2",
		"${A}b":             "1 2b",
		"$Ab${A}":           "", // Ab is not defined
		"$_x9-":             "y-",
		"$EMPTY|":           "|",
		"$$A":               "$A",
		"$$$A":              "$1 2",
		"5$":                "5$",
		"$5 $( $- ":         "$5 $( $- ",
		"${A:-x}":           "1 2",
		"${EMPTY:-x}":       "x",
		"${NO:-x $A}":       "x 1 2",
		"${NO:-${ALSO:-z}}": "z",
		"${NO:-}":           "",
		"${NO}":             "",
		"$NO":               "",
		"${NO":              "",
		"${}":               "",
		"${A-x}":            "",
		"${5}":              "",
	} {
		got, err := expand(in, lookupVar)
		refused := strings.HasPrefix(in, "$Ab") || in == "${NO}" || in == "$NO" || in == "${NO" || in == "${}" || in == "${A-x}" || in == "${5}"
		if got != want || (err != nil) != refused {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	if _, err := expand("a $NO b", lookupVar); err == nil || !strings.Contains(err.Error(), "NO") {
		t.Errorf("the error does not name the variable: %v", err)
	}
}

// What SplitWords protects comes out of the expansion as it was written.
func FuzzWords(f *testing.F) {
	for _, s := range []string{"a 'b $c' \"d $A\" \\$e", "${A:-b c}", "'", "\\", "${", "$$", "a\x00b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words, err := SplitWords(s)
		if err != nil {
			return
		}
		for _, w := range words {
			_, _ = expand(w, lookupVar)
		}
		quoted := "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		words, err = SplitWords(quoted)
		if err != nil || len(words) != 1 {
			t.Fatalf("%q in single quotes: %q, %v", s, words, err)
		}
		if got, err := expand(words[0], lookupVar); err != nil || got != s {
			t.Fatalf("%q in single quotes became %q, %v", s, got, err)
		}
	})
}

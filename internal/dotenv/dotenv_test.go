package dotenv_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer/internal/dotenv"
)

func TestParseReadsVariables(t *testing.T) {
	tests := map[string]struct {
		text string
		want map[string]string
	}{
		"nothing":             {"", map[string]string{}},
		"comments and blanks": {"# one\n\n  # two\n", map[string]string{}},
		"plain":               {"A=1\nB = two words \n", map[string]string{"A": "1", "B": "two words"}},
		"no final newline":    {"A=1", map[string]string{"A": "1"}},
		"export":              {"export A=1\n", map[string]string{"A": "1"}},
		"empty value":         {"A=\nB=2\n", map[string]string{"A": "", "B": "2"}},
		"comment behind":      {"A=1 # one\n", map[string]string{"A": "1"}},
		"no comment":          {"A=a#b\n", map[string]string{"A": "a#b"}},
		"single quotes":       {`A='$B "x" # y'` + "\n", map[string]string{"A": `$B "x" # y`}},
		"double quotes":       {`A="a\nb"` + "\n", map[string]string{"A": "a\nb"}},
		"over lines":          {"A=\"a\nb\"\nB=2\n", map[string]string{"A": "a\nb", "B": "2"}},
		"expansion":           {"A=1\nB=${A}2\nC=$A\n", map[string]string{"A": "1", "B": "12", "C": "1"}},
		"CRLF":                {"A=1\r\nB='2'\r\n", map[string]string{"A": "1", "B": "2"}},
		"byte order mark":     {"\xef\xbb\xbfA=1\n", map[string]string{"A": "1"}},
		"later wins":          {"A=1\nA=2\n", map[string]string{"A": "2"}},
		"dots":                {"a.b=1\n", map[string]string{"a.b": "1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := dotenv.Parse(".env", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseNamesTheLineAndNoSecret(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"no equals sign":        {"A=1\nsecret\nB=2\n", ".env:2: want NAME=value"},
		"none on the last line": {"A=1\nsecret", ".env:2: want NAME=value: the name is missing"},
		"no name":               {"A=1\n=secret\n", ".env:2: want NAME=value: the name is missing"},
		"a bad name":            {"A=1\nA-B=secret\n", ".env:2: want NAME=value, the name of"},
		"two words":             {"A=1\nA B=secret\n", `.env:2: "A B" can't be a variable's name`},
		"a digit first":         {"A=1\n\n1A=secret\n", `.env:3: "1A" can't be a variable's name`},
		"an open quote":         {"A=1\nB=\"secret\nC=3\n", ".env:2: a quote that is never closed"},
		"CRLF":                  {"A=1\r\nsecret\r\nB=2\r\n", ".env:2: want NAME=value"},
		"NUL":                   {"A=1\nB=secret\x00\n", ".env:2: a NUL byte"},
		"Latin-1":               {"A=1\nB=secret\xe9\n", ".env:2: not UTF-8"},
		"too large":             {"A=" + strings.Repeat("secret", 1<<18), ".env: is larger than 1 MiB"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := dotenv.Parse(".env", []byte(tt.text))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s…", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells a value: %v", err)
			}
		})
	}
}

func TestReadNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file or directory",
		dir:                        "is a directory",
		fifo:                       "is not a regular file",
	} {
		_, err := dotenv.Read(path)
		if err == nil || !strings.HasPrefix(err.Error(), path+": "+want) {
			t.Errorf("got %v, want %s: %s", err, path, want)
		}
	}

	file := filepath.Join(dir, ".env")
	if err := os.WriteFile(file, []byte("A=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := dotenv.Read(file)
	if err != nil || got["A"] != "1" {
		t.Errorf("got %v, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "A=1\n", "export A='x'\n", "A=\"$B ${C} \\n\"\n", "A", "=", "A=\"", "\xef\xbb\xbfA:1\r\n#", "A B=2", "$(", "A=$(x)", "é=1",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		vars, err := dotenv.Parse("f", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		for name, value := range vars {
			if name == "" || strings.ContainsAny(name, "= \x00\n") || strings.ContainsRune(value, 0) {
				t.Errorf("%q=%q can't be in an environment", name, value)
			}
		}
	})
}

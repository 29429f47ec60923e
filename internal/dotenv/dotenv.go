// Package dotenv reads files of variables by the rules of godotenv: NAME=value
// lines, comments, quotes, and ${NAME} of what came before in the same file. It
// adds what a program that others depend on needs: limits, the line of a fault,
// and no value of a secret in any message.
package dotenv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/joho/godotenv"
)

// MaxSize is how large a file may be, in bytes.
const MaxSize = 1 << 20

// Read reads the variables of a file. The error names the file and, where there
// is one, the line.
func Read(path string) (map[string]string, error) {
	// What is no regular file is found out before it is opened: opening a FIFO
	// that nobody writes to would wait for ever.
	info, err := os.Stat(path)
	if err != nil {
		return nil, pathError(path, err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s: is a directory, want a file", path)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, pathError(path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, pathError(path, err)
	}
	return Parse(path, data)
}

// pathError is an error about a path, the path first and once.
func pathError(path string, err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// Parse reads the variables of data, which came from file.
func Parse(file string, data []byte) (map[string]string, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%s: is larger than 1 MiB, the limit for a file of variables", file)
	}
	text := string(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if i := strings.IndexByte(text, 0); i >= 0 {
		return nil, fault(file, text, i, "a NUL byte: this is not a text file")
	}
	if !utf8.ValidString(text) {
		return nil, fault(file, text, invalidAt(text), "not UTF-8")
	}
	vars, err := godotenv.Unmarshal(text)
	if err != nil {
		at, what := explain(text, err)
		return nil, fault(file, text, at, what)
	}
	for name := range vars {
		if !isName(name) {
			return nil, fault(file, text, placeOf(text, name), notName(name))
		}
	}
	return vars, nil
}

func fault(file, text string, at int, what string) error {
	if at < 0 {
		return fmt.Errorf("%s: %s", file, what)
	}
	return fmt.Errorf("%s:%d: %s", file, strings.Count(text[:at], "\n")+1, what)
}

// explain finds where godotenv stopped and says why. Its own messages are not
// used, because they quote the file from there on, secrets and all; the quoted
// part is what tells the place. The place is -1 when it can't be told.
func explain(text string, err error) (at int, what string) {
	message := err.Error()
	if _, quoted, found := strings.Cut(message, " in variable name near "); found {
		rest, err := strconv.Unquote(quoted)
		if err != nil || !strings.HasSuffix(text, rest) {
			return -1, "want NAME=value"
		}
		return len(text) - len(rest), "want NAME=value, the name of letters, digits, '_' or '.'"
	}
	if start, found := strings.CutPrefix(message, "unterminated quoted value "); found {
		return strings.LastIndex(text, start), "a quote that is never closed"
	}
	return -1, "want NAME=value on each line"
}

// isName tells whether s can be a variable's name. godotenv lets more through:
// blanks, an empty name, a whole line without an equals sign at the end.
func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		digit := '0' <= c && c <= '9' || c == '.'
		if !letter && (i == 0 || !digit) {
			return false
		}
	}
	return s != ""
}

func notName(name string) string {
	if name == "" {
		return "want NAME=value: the name is missing"
	}
	return fmt.Sprintf("%q can't be a variable's name: want letters, digits and '_', not a digit first", name)
}

// placeOf finds the line that sets a name that is none.
func placeOf(text, name string) int {
	last := -1
	for at := 0; at < len(text); {
		line, _, _ := strings.Cut(text[at:], "\n")
		head := strings.TrimSpace(line)
		if rest, found := strings.CutPrefix(head, "export "); found {
			head = strings.TrimSpace(rest)
		}
		key, _, assigned := cutAssign(head)
		if head != "" && head[0] != '#' && (key == name && (assigned || name != "") || name == "" && !assigned) {
			last = at
		}
		at += len(line) + 1
	}
	return last
}

// cutAssign cuts a line at its first '=' or ':'.
func cutAssign(line string) (key, value string, found bool) {
	i := strings.IndexAny(line, "=:")
	if i < 0 {
		return line, "", false
	}
	return strings.TrimSpace(line[:i]), line[i+1:], true
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

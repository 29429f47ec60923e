package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gafferpm/gaffer"
)

// ToProcfile says what templates are as entries of a Procfile, which other programs
// read too. lost are the things that a Procfile can't say, such as "web: env". What
// can't be an entry at all is an error.
func ToProcfile(templates []gaffer.Template) (entries []Entry, lost []string, err error) {
	var faults Faults
	for i := range templates {
		t := &templates[i]
		text, problem := procfileCommand(t)
		if problem != "" {
			faults = append(faults, &Fault{File: "template " + t.Name, Message: problem})
			continue
		}
		entries = append(entries, Entry{Name: t.Name, Command: text, Line: len(entries) + 1})
		for _, field := range unsaid(t, basePort+i*portStep) {
			lost = append(lost, t.Name+": "+field)
		}
	}
	return entries, lost, faults.err()
}

// unsaid are the fields of a template that a Procfile has no place for. Cwd is not
// one of them: a Procfile's is where the file is.
func unsaid(t *gaffer.Template, port int) (lost []string) {
	said := []string{"name", "cmd", "args", "shell", "cwd"}
	if t.Port == port {
		said = append(said, "port")
	}
	v := reflect.ValueOf(t).Elem()
	names, index := fields(v.Type())
	for _, name := range names {
		if !slices.Contains(said, name) && !unset(v.Field(index[name])) {
			lost = append(lost, name)
		}
	}
	return lost
}

// procfileCommand is a template's command as the line that a shell, or gaffer,
// makes the same words of.
func procfileCommand(t *gaffer.Template) (text, problem string) {
	switch {
	case t.Shell && len(t.Args) > 0:
		return "", "a Procfile can't give arguments to a script"
	case t.Shell:
		text = strings.Trim(t.Cmd, blanks+"\n")
	default:
		words := []string{t.Cmd}
		if t.Args == nil {
			var err error
			if words, err = gaffer.SplitWords(t.Cmd); err != nil {
				return "", err.Error()
			}
		}
		words = append(words, t.Args...)
		for i, w := range words {
			words[i] = shellWord(w, i == 0)
		}
		text = strings.Join(words, " ")
	}
	if strings.ContainsAny(text, "\n\r\x00") {
		return "", "a command of several lines can't be in a Procfile"
	}
	if _, err := parseCommand(text); err != nil {
		return "", fmt.Sprintf("the command is not one for a Procfile: %v", err)
	}
	return text, ""
}

// shellWord quotes a word, in which variables are still to be replaced and "$$" is
// a dollar, so that a shell sees the same. The first one is the program.
func shellWord(word string, first bool) string {
	special := first && (strings.Contains(word, "=") || slices.Contains(builtins, word))
	safe := word != "" && !special && !strings.ContainsFunc(word, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r >= 0x80 || strings.ContainsRune("_-./:=@%+,", r))
	})
	if safe {
		return word
	}
	if !strings.Contains(word, "$") && !strings.Contains(word, "'") {
		return "'" + word + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for rest := word; rest != ""; {
		n, variable := variableAt(rest)
		switch {
		case variable:
			b.WriteString(rest[:n])
		case rest[0] == '$': // a dollar, written once or twice
			b.WriteString(`\$`)
		case strings.IndexByte("\"\\`", rest[0]) >= 0:
			b.WriteString(`\` + rest[:1])
		default:
			b.WriteByte(rest[0])
		}
		rest = rest[max(n, 1):]
	}
	b.WriteByte('"')
	return b.String()
}

// variableAt tells whether a text begins with a variable, and how much of it is
// that, or is an escaped dollar.
func variableAt(s string) (n int, variable bool) {
	switch {
	case !strings.HasPrefix(s, "$"):
		return 1, false
	case strings.HasPrefix(s, "$$"):
		return 2, false
	case strings.HasPrefix(s, "${"):
		end := strings.IndexByte(s, '}')
		return end + 1, end > 0
	}
	n = 1
	for n < len(s) && isVariable(s[1:n+1]) {
		n++
	}
	return n, n > 1
}

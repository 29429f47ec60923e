package config

import (
	"strings"

	"github.com/gafferpm/gaffer"
)

// Entry is a line of a Procfile.
type Entry struct {
	Name    string // "web", or "jobs:mail" for mail in group jobs
	Command string
	Line    int // from 1

	at        span // the name
	commandAt span
	command   command
}

// ParseProcfile reads the lines `name: command` of a Procfile, in order. Blank
// lines and comments are skipped; every other line that is no entry is a fault.
// file is how errors call it.
func ParseProcfile(file string, data []byte) ([]Entry, error) {
	src, err := newSource(file, data)
	if err != nil {
		return nil, err
	}
	entries, faults := parseProcfile(src)
	return entries, faults.err()
}

// FormatProcfile writes entries so that ParseProcfile reads the same ones.
func FormatProcfile(entries []Entry) []byte {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.Name + ": " + e.Command + "\n")
	}
	return []byte(b.String())
}

func parseProcfile(src *source) (entries []Entry, faults Faults) {
	first := map[string]int{}
	number := 0
	for from := 0; from < len(src.text); {
		number++
		line, _, _ := strings.Cut(src.text[from:], "\n")
		next := from + len(line) + 1
		body := strings.Trim(line, blanks)
		at := from + strings.Index(line, body)
		from = next
		if body == "" || body[0] == '#' {
			continue
		}
		e, fault := parseEntry(src, body, at)
		if fault == nil && first[e.Name] > 0 {
			fault = src.fault(e.at, "%s is defined twice; the first is on line %d", e.Name, first[e.Name])
		}
		if fault != nil {
			faults = append(faults, fault)
			continue
		}
		e.Line, first[e.Name] = number, number
		entries = append(entries, e)
	}
	if len(entries) == 0 && len(faults) == 0 {
		faults = append(faults, src.wholeFault("has no entry; want lines such as `web: ./server`"))
	}
	return entries, faults
}

// blanks is what may be around names and commands. The carriage return is that
// of a file from Windows.
const blanks = " \t\r"

// parseEntry reads a line that begins at a byte of src.
func parseEntry(src *source, body string, at int) (Entry, *Fault) {
	name, rest, found := cutName(body)
	if !found {
		return Entry{}, src.fault(span{at, at + len(body)}, "want `name: command`")
	}
	nameAt := span{at, at + len(name)}
	if err := gaffer.CheckName(name); err != nil {
		return Entry{}, src.fault(nameAt, "%v", err)
	}
	text := strings.Trim(rest, blanks)
	if text == "" {
		return Entry{}, src.fault(nameAt, "%s has no command; want `%s: command`", name, name)
	}
	from := at + len(body) - len(strings.TrimLeft(rest, blanks))
	c, err := parseCommand(text)
	if e, ok := err.(*commandError); ok {
		return Entry{}, src.fault(span{from + e.at, from + e.at + 1}, "%s", e.text)
	}
	return Entry{Name: name, Command: text, at: nameAt, commandAt: span{from, from + len(text)}, command: c}, nil
}

// cutName cuts a line behind its name. The name ends at the first colon; at the
// second, if a word is between the two and a blank follows: "jobs:mail: ./run".
func cutName(body string) (name, rest string, found bool) {
	name, rest, found = strings.Cut(body, ":")
	if !found {
		return "", "", false
	}
	member, tail, two := strings.Cut(rest, ":")
	if two && member != "" && gaffer.CheckName(member) == nil && (tail == "" || strings.ContainsRune(blanks, rune(tail[0]))) {
		return name + ":" + member, tail, true
	}
	return strings.TrimRight(name, blanks), rest, true
}

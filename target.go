package gaffer

import (
	"path"
	"strconv"
	"strings"
)

// Target selects templates and processes:
//
//   - all templates
//     jobs:*   the templates of group jobs
//     web      a template
//     web.2    slot 2 of a template
//     17       the process with that id
//     web*     the templates whose name the glob matches; within a name, * is any text
type Target string

// All selects every template.
const All Target = "*"

// selection is a target that was read.
type selection struct {
	id   uint64 // not 0: the process with that id
	slot int    // not 0: that slot of template name
	name string // a template's name, when there is no glob
	glob string // "*", "jobs:*", "web*"
}

// parse reads a target. It can't tell whether what it selects exists.
func (t Target) parse() (selection, error) {
	s := string(t)
	switch {
	case s == "":
		return selection{}, invalidf("target is empty; \"*\" selects all")
	case s[0] >= '0' && s[0] <= '9':
		id, err := strconv.ParseUint(s, 10, 64)
		if err != nil || id == 0 {
			return selection{}, invalidf("target %q: an id is a number from 1", s)
		}
		return selection{id: id}, nil
	case strings.Contains(s, "*"):
		if !isGlob(s) {
			return selection{}, invalidf("target %q: a glob is letters, digits, '_', '-' and '*', with at most one ':'", s)
		}
		return selection{glob: s}, nil
	}
	name, slot, found := strings.Cut(s, ".")
	if CheckName(name) != nil {
		return selection{}, invalidf("target %q: want *, a group as jobs:*, a name, a slot as web.2, or an id", s)
	}
	if !found {
		return selection{name: name}, nil
	}
	n, err := strconv.Atoi(slot)
	if err != nil || n < 1 || slot[0] == '0' || slot[0] == '+' {
		return selection{}, invalidf("target %q: a slot is a number from 1", s)
	}
	return selection{name: name, slot: n}, nil
}

// isGlob says whether s can match names: word bytes and stars, one colon at most.
func isGlob(s string) bool {
	colons := 0
	for i := range len(s) {
		switch {
		case s[i] == ':':
			colons++
		case s[i] != '*' && !isWordByte(s[i]):
			return false
		}
	}
	return len(s) <= 128 && colons <= 1
}

// Check tells what is wrong with the way a target is written.
func (t Target) Check() error { _, err := t.parse(); return err }

// one says that the selection is of a single process, not of templates.
func (s selection) one() bool { return s.id != 0 || s.slot != 0 }

// exact says that the selection names something that must exist.
func (s selection) exact() bool { return s.glob == "" }

// template says whether a template of that name is selected, or the one that a
// selected process may belong to.
func (s selection) template(name string) bool {
	switch {
	case s.glob == "*":
		return true
	case s.glob != "":
		ok, err := path.Match(s.glob, name)
		return ok && err == nil
	case s.name != "":
		return s.name == name
	}
	return s.id != 0
}

// process says whether a process is selected.
func (s selection) process(name string, slot int, id uint64) bool {
	switch {
	case s.id != 0:
		return s.id == id
	case s.slot != 0:
		return s.name == name && s.slot == slot
	}
	return s.template(name)
}

// Matches says whether the target selects a process, or with slot and id 0 a template.
func (t Target) Matches(name string, slot int, id uint64) bool {
	s, err := t.parse()
	return err == nil && s.process(name, slot, id)
}

// Change is a change of a wanted number: "+2", "-1" or "=3".
type Change struct {
	Op byte // '+', '-' or '='
	N  int  // not negative
}

// ParseChange reads "+2", "-1", "=3" or, as the last, "3".
func ParseChange(s string) (Change, error) {
	op, digits := byte('='), s
	if s != "" && strings.IndexByte("+-=", s[0]) >= 0 {
		op, digits = s[0], s[1:]
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || digits[0] == '+' || digits[0] == '-' {
		return Change{}, invalidf("change %q: want +N, -N or =N", s)
	}
	c := Change{Op: op, N: n}
	return c, c.check()
}

func (c Change) String() string { return string(c.Op) + strconv.Itoa(c.N) }

func (c Change) check() error {
	if strings.IndexByte("+-=", c.Op) < 0 || c.Op == 0 || c.N < 0 {
		return invalidf("change %q: want +N, -N or =N", c.String())
	}
	if c.N > MaxProcesses {
		return invalidf("change %s: more than %d processes", c, MaxProcesses)
	}
	return nil
}

// apply is the number that n becomes: never below 0.
func (c Change) apply(n int) int {
	switch c.Op {
	case '+':
		n += c.N
	case '-':
		n -= c.N
	default:
		n = c.N
	}
	return max(n, 0)
}

package gaffer

import (
	"encoding/json"
	"strings"
	"time"
)

// Command is what gaffer runs beside a template's processes and in their environment:
// with their variables, directory, user and groups. In JSON and TOML it is the command
// alone, or a table.
type Command struct {
	// Cmd is the program with its arguments, split into words as a template's cmd is;
	// with Shell, the whole script. Required.
	Cmd string `json:"cmd" toml:"cmd"`
	// Shell runs `sh -c` with Cmd as the script. Default: as the template does.
	Shell *bool `json:"shell,omitempty" toml:"shell,omitempty"`
	// Timeout is how long it may take; then it is killed with all that it has started.
	// Default 30s.
	Timeout Duration `json:"timeout,omitempty" toml:"timeout,omitempty"`
}

// DefaultCommandTimeout is how long a Command may take that says nothing of it.
const DefaultCommandTimeout = 30 * time.Second

// bare is a Command without its own way of being written.
type bareCommand Command

// UnmarshalJSON accepts a text, which is Cmd, or an object.
func (c *Command) UnmarshalJSON(b []byte) error {
	*c = Command{}
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &c.Cmd)
	}
	return json.Unmarshal(b, (*bareCommand)(c))
}

// MarshalJSON writes Cmd alone where there is nothing else to say.
func (c Command) MarshalJSON() ([]byte, error) {
	if c.Shell == nil && c.Timeout == 0 {
		return json.Marshal(c.Cmd)
	}
	return json.Marshal(bareCommand(c))
}

// validate tells what is wrong with the command as it is written. shell is the
// template's.
func (c *Command) validate(f *faults, field string, shell bool) {
	if c == nil {
		return
	}
	switch {
	case strings.TrimSpace(c.Cmd) == "":
		f.add(field, "is no command: it is empty")
	case strings.ContainsRune(c.Cmd, 0):
		f.add(field, "has a NUL byte")
	case !c.shell(shell):
		if words, err := SplitWords(c.Cmd); err != nil {
			f.wrap(field, err)
		} else if len(words) > 0 && words[0] == "" {
			f.add(field, "the program is an empty word")
		}
	}
	if c.Timeout < 0 {
		f.add(field+".timeout", "%s: must not be negative", c.Timeout)
	}
}

// clone is a copy that shares nothing with c.
func (c *Command) clone() *Command {
	if c == nil {
		return nil
	}
	d := *c
	if c.Shell != nil {
		d.Shell = new(*c.Shell)
	}
	return &d
}

// shell says whether it is a script, of a template that is one or not.
func (c *Command) shell(template bool) bool {
	if c.Shell == nil {
		return template
	}
	return *c.Shell
}

// timeout is how long it may take.
func (c *Command) timeout() time.Duration {
	if c.Timeout == 0 {
		return DefaultCommandTimeout
	}
	return time.Duration(c.Timeout)
}

// argv is the command as words.
func (c *Command) argv(r *recipe, lookup func(string) (string, bool)) ([]string, error) {
	if c.shell(r.Shell) {
		return []string{"/bin/sh", "-c", c.Cmd}, nil
	}
	words, err := SplitWords(c.Cmd)
	if err != nil {
		return nil, err
	}
	for i, w := range words {
		if words[i], err = expand(w, lookup); err != nil {
			return nil, err
		}
	}
	if len(words) == 0 || words[0] == "" {
		return nil, invalidf("%q: the program is an empty word", c.Cmd)
	}
	return words, nil
}

package config

import (
	"errors"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// command is what a Procfile's command turned out to be.
type command struct {
	shell   bool     // has shell syntax: runs in sh -c
	ownPort bool     // begins by setting PORT
	split   []string // variables outside quotes: a shell would split their values into words
}

// commandError is what is wrong with a command, and where, in bytes from its start.
type commandError struct {
	at   int
	text string
}

func (e *commandError) Error() string { return e.text }

// parseCommand finds out whether a command needs a shell. What gaffer does by
// itself is words, quotes, and variables; the rest is the shell's.
func parseCommand(text string) (command, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX), syntax.KeepComments(true)).Parse(strings.NewReader(text), "")
	if err != nil {
		// What is more than POSIX may be right for the shell that is sh here.
		file, err = syntax.NewParser(syntax.KeepComments(true)).Parse(strings.NewReader(text), "")
	}
	if err != nil {
		var parse syntax.ParseError
		if errors.As(err, &parse) {
			return command{}, &commandError{int(parse.Pos.Offset()), parse.Text}
		}
		return command{}, &commandError{0, err.Error()}
	}
	c := command{ownPort: setsPort(file)}
	c.shell = !c.plain(file)
	return c, nil
}

// setsPort tells whether the first thing that a command does is to set PORT.
func setsPort(file *syntax.File) bool {
	if len(file.Stmts) == 0 {
		return false
	}
	call, ok := file.Stmts[0].Cmd.(*syntax.CallExpr)
	return ok && slices.ContainsFunc(call.Assigns, func(a *syntax.Assign) bool {
		return a.Name != nil && a.Name.Value == "PORT"
	})
}

// plain tells whether gaffer can start the command without a shell.
func (c *command) plain(file *syntax.File) bool {
	if len(file.Stmts) != 1 || len(file.Last) > 0 {
		return false
	}
	s := file.Stmts[0]
	if len(s.Comments) > 0 || s.Negated || s.Background || s.Coprocess || s.Semicolon.IsValid() || len(s.Redirs) > 0 {
		return false
	}
	call, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || len(call.Assigns) > 0 || len(call.Args) == 0 || slices.Contains(builtins, call.Args[0].Lit()) {
		return false
	}
	for _, word := range call.Args {
		for i, part := range word.Parts {
			if !c.plainPart(part, i == 0) {
				return false
			}
		}
	}
	return true
}

func (c *command) plainPart(part syntax.WordPart, first bool) bool {
	switch p := part.(type) {
	case *syntax.Lit:
		return !special(p.Value, first)
	case *syntax.SglQuoted:
		return !p.Dollar
	case *syntax.DblQuoted:
		for _, inner := range p.Parts {
			switch q := inner.(type) {
			case *syntax.Lit:
			case *syntax.ParamExp:
				if !plainVariable(q) {
					return false
				}
			default:
				return false
			}
		}
		return !p.Dollar
	case *syntax.ParamExp:
		if !plainVariable(p) {
			return false
		}
		c.split = append(c.split, p.Param.Value)
		return true
	}
	return false
}

// special tells whether a literal has a character outside quotes that a shell
// acts on.
func special(lit string, first bool) bool {
	if first && strings.HasPrefix(lit, "~") {
		return true
	}
	for i := 0; i < len(lit); i++ {
		switch lit[i] {
		case '\\':
			i++
		case '*', '?', '[', '{', '$', '`', '!', '^':
			return true
		}
	}
	return false
}

// plainVariable tells whether an expansion is one that gaffer does: $NAME,
// ${NAME} or ${NAME:-default} with a default of one simple word.
func plainVariable(p *syntax.ParamExp) bool {
	if p.Excl || p.Length || p.Width || p.IsSet || p.Flags != nil || p.Index != nil || p.NestedParam != nil ||
		p.Slice != nil || p.Repl != nil || p.Names != 0 || len(p.Modifiers) > 0 || p.Param == nil || !isVariable(p.Param.Value) {
		return false
	}
	if p.Exp == nil {
		return true
	}
	if p.Exp.Op != syntax.DefaultUnsetOrNull {
		return false
	}
	if p.Exp.Word == nil {
		return true
	}
	lit := p.Exp.Word.Lit()
	return lit != "" && !special(lit, true) && !strings.ContainsAny(lit, "\\ \t}")
}

func isVariable(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// builtins are the words that only a shell can carry out.
var builtins = []string{
	".", ":", "[[", "alias", "bg", "break", "builtin", "cd", "command", "continue", "declare", "eval", "exec", "exit", "export", "fc", "fg",
	"getopts", "hash", "jobs", "let", "local", "read", "readonly", "return", "set", "shift", "source", "time", "times", "trap", "type",
	"typeset", "ulimit", "umask", "unalias", "unset", "wait",
}

package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/console"
)

// planPrinter shows a plan to a person.
type planPrinter struct {
	*screen
	values bool // of env, too
}

// marks and colours of what a step does.
var opMarks = map[gaffer.Op]cell{
	gaffer.OpCreate:   {"+", green},
	gaffer.OpUpdate:   {"~", yellow},
	gaffer.OpRemove:   {"-", red},
	gaffer.OpKeep:     {"=", faint},
	gaffer.OpConflict: {"!", red},
}

// print shows the steps that do something, what is kept although the source says
// otherwise, and a summary.
func (p *planPrinter) print(plan gaffer.Plan) {
	for _, step := range plan.Steps {
		if step.Op != gaffer.OpKeep || step.Message != "" {
			p.step(step)
		}
	}
	_, _ = p.WriteString(planSummary(plan) + "\n")
}

func (p *planPrinter) step(s gaffer.Step) {
	mark := opMarks[s.Op]
	p.paint(fmt.Sprintf("%s %s %s", mark.text, s.Op, console.Clean(s.Name)), mark.color)
	if s.Op == gaffer.OpUpdate {
		how := " (no restart)"
		if s.Restart {
			how = " (restarts its processes)"
		}
		_, _ = p.WriteString(how)
	}
	if s.Message != "" {
		_, _ = p.WriteString(": " + console.Clean(s.Message))
	}
	_ = p.WriteByte('\n')
	if s.Op == gaffer.OpRemove {
		return // what is removed was known
	}
	width := 0
	for _, f := range s.Fields {
		width = max(width, len(f.Field))
	}
	for _, f := range s.Fields {
		p.field(s, f, width)
	}
}

func (p *planPrinter) field(s gaffer.Step, f gaffer.FieldChange, width int) {
	before, after := f.Old, f.New
	if strings.HasPrefix(f.Field, "env.") && !p.values {
		before, after = hidden(before), hidden(after)
		if f.Old != "" && f.New != "" {
			after = "another value"
		}
	}
	_, _ = fmt.Fprintf(p, "    %-*s  ", width, console.Clean(f.Field))
	switch {
	case s.Op == gaffer.OpCreate:
		_, _ = p.WriteString(console.Clean(after))
	default:
		_, _ = p.WriteString(cmp.Or(console.Clean(before), "not set") + " → " + cmp.Or(console.Clean(after), "not set"))
	}
	if f.Restart && s.Op == gaffer.OpUpdate {
		p.paint(" (restart)", yellow)
	}
	_ = p.WriteByte('\n')
}

// hidden stands for a value that could be a secret.
func hidden(value string) string {
	if value == "" {
		return ""
	}
	return "***"
}

// planSummary is a plan in a line.
func planSummary(plan gaffer.Plan) string {
	counts := map[gaffer.Op]int{}
	restarts := 0
	for _, s := range plan.Steps {
		counts[s.Op]++
		if s.Op == gaffer.OpUpdate && s.Restart {
			restarts++
		}
	}
	var parts []string
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	add(counts[gaffer.OpConflict], "in conflict")
	add(counts[gaffer.OpCreate], "to create")
	update := "to update"
	if restarts > 0 {
		update += fmt.Sprintf(" (%d with a restart)", restarts)
	}
	add(counts[gaffer.OpUpdate], update)
	add(counts[gaffer.OpRemove], "to remove")
	if len(parts) == 0 {
		parts = append(parts, "nothing to do")
	}
	add(counts[gaffer.OpKeep], "unchanged")
	return strings.Join(parts, ", ")
}

// conflicts are the names of a plan that belong to somebody else.
func conflicts(plan gaffer.Plan) []string {
	var names []string
	for _, s := range plan.Steps {
		if s.Op == gaffer.OpConflict {
			names = append(names, s.Name)
		}
	}
	return names
}

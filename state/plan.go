package state

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gafferpm/gaffer"
)

// plan is what applying sources does.
type plan struct {
	source  string
	changes []*change
}

// change is a step with what it takes.
type change struct {
	step   gaffer.Step
	was    *record // nil: there is none
	source string
	file   *gaffer.Template // as the source defines it; nil when it does not
	now    outcome
	loaded bool // the manager has the template
	update bool // it differs from the one in force
	err    error
	wait   func(context.Context) error // of a template that was created: until it is as it should be
}

// public is the plan as others see it.
func (p *plan) public() gaffer.Plan {
	out := gaffer.Plan{Source: p.source, Steps: make([]gaffer.Step, 0, len(p.changes))}
	sum := sha256.New()
	enc := json.NewEncoder(sum)
	for _, c := range p.changes {
		out.Steps = append(out.Steps, c.step)
		named := c.step
		named.Error = ""
		// A hash takes all, and templates are always JSON.
		_ = enc.Encode([]any{named, c.source, c.now.template})
	}
	out.Digest = hex.EncodeToString(sum.Sum(nil)[:12])
	return out
}

// planning is the making of a plan.
type planning struct {
	*claims
	m    manager
	ctx  context.Context
	errs []error
}

// plan works out what applying all these sources would do now. Its error is
// everything that is wrong with them, joined.
func (c *configurator) plan(ctx context.Context, desired []gaffer.Desired) (*plan, error) {
	if err := checkDesired(desired); err != nil {
		return nil, err
	}
	p := &planning{claims: newClaims(desired, c.s.snapshot()), m: c.m, ctx: ctx}
	out := &plan{source: strings.Join(p.sources, ", ")}
	for _, r := range slices.Backward(p.order) {
		if p.givenUp(r) {
			out.changes = append(out.changes, &change{
				step: gaffer.Step{Op: gaffer.OpRemove, Name: r.name}, was: r, source: r.Source, now: outcome{template: r.Template},
			})
		}
	}
	for _, d := range desired {
		for _, t := range d.Templates {
			out.changes = append(out.changes, p.template(d, t))
		}
	}
	return out, errors.Join(append(p.errs, p.dependencies(out.changes))...)
}

// dependencies tells what of the templates would depend on what is not there, or on
// each other, that does not do so already.
func (p *planning) dependencies(changes []*change) error {
	var before, after []gaffer.Template
	changed := map[string]*change{}
	for _, ch := range changes {
		changed[ch.step.Name] = ch
		if ch.step.Op != gaffer.OpRemove && ch.step.Op != gaffer.OpConflict && ch.now.template != nil {
			after = append(after, *ch.now.template)
		}
	}
	for _, r := range p.order {
		if r.Template == nil {
			continue
		}
		before = append(before, *r.Template)
		if ch := changed[r.name]; ch == nil || ch.step.Op == gaffer.OpConflict {
			after = append(after, *r.Template)
		}
	}
	known := map[string]bool{}
	for _, err := range parts(gaffer.CheckDependencies(before)) {
		known[err.Error()] = true
	}
	return errors.Join(slices.DeleteFunc(parts(gaffer.CheckDependencies(after)), func(err error) bool { return known[err.Error()] })...)
}

// parts are the errors of which one was made.
func parts(err error) []error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return several.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// checkDesired tells what is wrong with sources as they are written.
func checkDesired(desired []gaffer.Desired) error {
	var errs []error
	for i, d := range desired {
		if d.Source == "" || d.Source == RunTime {
			errs = append(errs, invalidf("source %q: want the path of a file, or app:NAME", d.Source))
		}
		if slices.ContainsFunc(desired[:i], func(o gaffer.Desired) bool { return o.Source == d.Source }) {
			errs = append(errs, invalidf("source %s: it is there twice", d.Source))
		}
		seen := map[string]bool{}
		for _, t := range d.Templates {
			if seen[t.Name] {
				errs = append(errs, invalidf("template %s: it is in %s twice", t.Name, d.Source))
			}
			seen[t.Name] = true
			if err := t.Validate(); err != nil {
				errs = append(errs, fmt.Errorf("template %s: %w", t.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// template plans what becomes of one template of a source.
func (p *planning) template(d gaffer.Desired, t gaffer.Template) *change {
	r := p.records[t.Name]
	c := &change{step: gaffer.Step{Op: gaffer.OpConflict, Name: t.Name}, was: r, source: d.Source, file: &t, now: defined(&t)}
	if conflict := p.conflict(d, t.Name); conflict != "" {
		c.step.Message = conflict
		return c
	}
	if r != nil {
		c.now = merge(r, &t, d.Reset)
	}
	return p.preview(c, d)
}

// preview asks the manager what the outcome means for what runs.
func (p *planning) preview(c *change, d gaffer.Desired) *change {
	step, err := p.m.Preview(p.ctx, *c.now.template)
	if err != nil {
		return p.unusable(c, err)
	}
	if c.was == nil && step.Op != gaffer.OpCreate && !d.Adopt {
		c.step.Message = addedAtRunTime // just now: its record is about to be made
		return c
	}
	c.loaded = step.Op != gaffer.OpCreate
	c.step = step
	if !c.loaded {
		c.step.Message = c.message()
		return c
	}
	c.step.Fields = c.fields(step.Fields)
	c.update = step.Op == gaffer.OpUpdate
	c.step.Op = gaffer.OpKeep
	if len(c.step.Fields) > 0 || c.was == nil || c.was.Source != c.source {
		c.step.Op = gaffer.OpUpdate
	}
	c.step.Message = c.message()
	return c
}

// unusable is of a template that can't be started as it stands. That is nobody's
// fault now where nothing changes.
func (p *planning) unusable(c *change, err error) *change {
	r := c.was
	if r == nil || r.Source != c.source || r.Active != c.now.active || r.Count != c.now.count || !sameTemplate(r.Template, c.now.template) {
		p.errs = append(p.errs, err)
		return c
	}
	c.loaded = true
	c.step.Op = gaffer.OpKeep
	c.step.Message = fmt.Sprintf("it could not be started now: %v", err)
	return c
}

// fields are what changes: of the template as the manager says, and of what is
// wanted.
func (ch *change) fields(list []gaffer.FieldChange) []gaffer.FieldChange {
	list = slices.DeleteFunc(slices.Clone(list), func(f gaffer.FieldChange) bool {
		return f.Field == countField || f.Field == startField
	})
	if ch.was == nil {
		return list
	}
	if ch.was.Count != ch.now.count {
		list = append(list, gaffer.FieldChange{Field: countField, Old: strconv.Itoa(ch.was.Count), New: strconv.Itoa(ch.now.count)})
	}
	if ch.was.Active != ch.now.active {
		list = append(list, gaffer.FieldChange{Field: startField, Old: strconv.FormatBool(ch.was.Active), New: strconv.FormatBool(ch.now.active)})
	}
	return list
}

// message says what becomes of run-time changes.
func (ch *change) message() string {
	var parts []string
	if ch.was != nil && ch.was.Source != ch.source {
		from := ch.was.Source
		if from == "" {
			from = RunTime
		}
		parts = append(parts, "taken over from "+from)
	}
	if len(ch.now.dropped) > 0 {
		parts = append(parts, "no longer as changed at run time: "+strings.Join(ch.now.dropped, ", "))
	}
	if len(ch.now.kept) > 0 {
		parts = append(parts, "changed at run time and kept: "+strings.Join(ch.now.kept, ", "))
	}
	return strings.Join(parts, "; ")
}

package state

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gafferpm/gaffer"
)

// restorer is what is asked of a gaffer.Manager that is to be as before.
type restorer interface {
	Restore(ctx context.Context, w gaffer.Wanted) error
}

var _ restorer = (*gaffer.Manager)(nil)

// ErrAsApplied stands for files that are not to be looked at: all is as it was applied
// last.
var ErrAsApplied = errors.New("as it was applied last")

// Restore gives a manager that does not run yet what is wanted: the templates of
// desired, which are what the daemon's files define, as they were changed at run
// time, then those of other sources and those added at run time, as they were
// kept. What users have stopped stays stopped.
//
// With loadErr, because the files can't be read, it is all as it was applied last,
// and the logger is told; without anything that was, loadErr is returned. A
// template that can't be restored is told to the logger and the others go on.
func (s *State) Restore(ctx context.Context, m *gaffer.Manager, desired []gaffer.Desired, loadErr error) error {
	return s.restore(ctx, m, desired, loadErr)
}

func (s *State) restore(ctx context.Context, m restorer, desired []gaffer.Desired, loadErr error) error {
	s.mu.Lock()
	clear(s.versions) // a new manager counts anew
	s.gone = nil
	s.mu.Unlock()
	if loadErr == nil {
		loadErr = checkDesired(desired)
	}
	order := s.snapshot()
	before := make(map[string]*record, len(order))
	for _, r := range order {
		before[r.name] = r
	}
	switch {
	case loadErr == nil:
		order = s.boot(desired, order)
	case errors.Is(loadErr, ErrAsApplied):
	case len(order) == 0:
		return fmt.Errorf("configuration: %w", loadErr)
	default:
		s.logger.Error("configuration: it can't be used; what was applied last is started", "error", loadErr)
	}
	for _, r := range order {
		active := r.Active && !s.leftAlone(before[r.name], r)
		err := m.Restore(ctx, gaffer.Wanted{Template: *r.Template, Active: active, Count: r.Count, Previous: r.Previous})
		switch {
		case errors.Is(err, gaffer.ErrClosed):
			return err
		case err != nil:
			s.logger.Error("a template is not restored", "error", err)
		}
	}
	return nil
}

// leftAlone says that a detached template was started since the system was booted:
// what it started is nobody's any more and may well still run, so it is not started
// a second time.
func (s *State) leftAlone(before, now *record) bool {
	return now.Template.Detach && s.journal.sameBoot && before != nil && before.Active && sameTemplate(before.Template, now.Template)
}

// boot works out what is wanted of all templates, in the order in which they are
// to be defined, and records it.
func (s *State) boot(desired []gaffer.Desired, before []*record) []*record {
	claims := newClaims(desired, before)
	var order []*record
	taken := map[string]bool{}
	for _, d := range desired {
		for _, t := range d.Templates {
			if conflict := claims.conflict(d, t.Name); conflict != "" {
				s.logger.Warn("a template is not taken from its file", "template", t.Name, "source", d.Source, "conflict", conflict)
				continue
			}
			r := s.bootRecord(claims.records[t.Name], d, t)
			order, taken[r.name] = append(order, r), true
		}
	}
	for _, r := range before {
		if !taken[r.name] && !claims.givenUp(r) {
			c := *r
			order, taken[r.name] = append(order, &c), true
		}
	}
	for i, r := range order {
		r.Order = uint64(i) + 1
	}
	s.mu.Lock()
	for _, r := range before {
		if !taken[r.name] {
			delete(s.records, r.name)
			s.unsaved[r.name] = true
		}
	}
	for _, r := range order {
		s.replace(r)
	}
	s.order = uint64(len(order))
	s.mu.Unlock()
	if err := s.save(); err != nil { // it is tried again with the next change
		s.logger.Error("what the files define is not kept", "error", err)
	}
	return order
}

// bootRecord is what is wanted of a template of a file; r is nil for a new one.
func (s *State) bootRecord(r *record, d gaffer.Desired, t gaffer.Template) *record {
	o := defined(&t)
	if r != nil {
		o = merge(r, &t, d.Reset)
	}
	if len(o.dropped) > 0 {
		s.logger.Info("the file's new values replace what was changed at run time",
			"template", t.Name, "fields", strings.Join(o.dropped, ", "))
	}
	booted := &record{name: t.Name, Source: d.Source, File: &t, Template: o.template, Active: o.active, Count: o.count}
	booted.share()
	return booted
}

package state

import (
	"slices"

	"github.com/gafferpm/gaffer"
)

// claims are who defines which template: some sources that are applied together,
// and what was recorded before.
type claims struct {
	desired []gaffer.Desired
	sources []string           // of desired
	order   []*record          // all there are, as they were defined
	records map[string]*record // the same by name
	definer map[string]string  // by name: which of the sources defines it
}

func newClaims(desired []gaffer.Desired, order []*record) *claims {
	c := &claims{desired: desired, order: order, records: map[string]*record{}, definer: map[string]string{}}
	for _, r := range order {
		c.records[r.name] = r
	}
	for _, d := range desired {
		c.sources = append(c.sources, d.Source)
		for _, t := range d.Templates {
			// Of several it is the one that has it, else the first.
			if r := c.records[t.Name]; c.definer[t.Name] == "" || r != nil && r.Source == d.Source {
				c.definer[t.Name] = d.Source
			}
		}
	}
	return c
}

// givenUp says whether the source of a template, which is one of those, does not
// define it any more, and none of the others does.
func (c *claims) givenUp(r *record) bool {
	return r.Source != "" && slices.Contains(c.sources, r.Source) && c.definer[r.name] == ""
}

const addedAtRunTime = "it was added at run time; to adopt it takes it over"

// conflict says why a source can't have a template, "" if it can.
func (c *claims) conflict(d gaffer.Desired, name string) string {
	if other := c.definer[name]; other != d.Source {
		return "source " + other + " defines it too"
	}
	r := c.records[name]
	switch {
	case r == nil || r.Source == d.Source || d.Adopt:
		return ""
	case r.Source == "":
		return addedAtRunTime
	case slices.Contains(c.sources, r.Source):
		return "" // it is handed over from one of them to another
	}
	return "source " + r.Source + " defines it; to adopt it takes it over"
}

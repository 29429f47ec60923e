package state

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/gafferpm/gaffer"
)

// record is what is kept of one template. It is not changed once others see it.
// What was changed at run time is not recorded: it is where the template in force
// differs from what its source says.
type record struct {
	name string
	// Order is that of definition.
	Order uint64
	// Source defines the template; "" for one that was added at run time.
	Source string
	// File is the template as its source defined it last, nil without one.
	File *gaffer.Template
	// Template is in force. It is File where they are the same.
	Template *gaffer.Template
	Active   bool
	Count    int
	// Previous is what the template was before its latest update, nil if there was none.
	Previous *gaffer.Template
}

// recordText is a record in JSON. A template that is as its source says is in it
// once.
type recordText struct {
	Order    uint64           `json:"order"`
	Source   string           `json:"source,omitempty"`
	File     *gaffer.Template `json:"file,omitempty"`
	Template *gaffer.Template `json:"template,omitempty"`
	Active   bool             `json:"active"`
	Count    int              `json:"count"`
	Previous *gaffer.Template `json:"previous,omitempty"`
}

func (r *record) encode() ([]byte, error) {
	text := recordText{Order: r.Order, Source: r.Source, File: r.File, Active: r.Active, Count: r.Count, Previous: r.Previous}
	if r.File != r.Template {
		text.Template = r.Template
	}
	return json.Marshal(text)
}

func decodeRecord(name string, b []byte) (*record, error) {
	var text recordText
	if err := json.Unmarshal(b, &text); err != nil {
		return nil, fmt.Errorf("record of %s: %w", name, err)
	}
	r := &record{name: name, Order: text.Order, Source: text.Source, File: text.File, Active: text.Active, Count: text.Count, Previous: text.Previous}
	r.Template = text.Template
	if r.Template == nil {
		r.Template = r.File
	}
	if r.Template == nil {
		return nil, fmt.Errorf("record of %s: it has no template", name)
	}
	if r.Template.Name != name {
		return nil, fmt.Errorf("record of %s: its template is named %q", name, r.Template.Name)
	}
	return r, nil
}

// readRecords reads all records of the database. One that can't be understood is
// left where it is.
func (s *State) readRecords() error {
	s.records = map[string]*record{}
	return safely(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(templatesBucket)).ForEach(func(key, sealed []byte) error {
				value, err := unseal(sealed)
				if err != nil {
					return err
				}
				r, err := decodeRecord(string(key), value)
				if err != nil {
					s.logger.Error("state database: a template is passed over", "error", err)
					return nil
				}
				s.records[r.name] = r
				s.order = max(s.order, r.Order)
				return nil
			})
		})
	})
}

// snapshot is all records, in the order of definition.
func (s *State) snapshot() []*record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.records), func(a, b *record) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.name, b.name))
	})
}

// share makes the template in force that of the source, if they are the same: there
// may be thousands.
func (r *record) share() {
	if r.File != nil && sameTemplate(r.File, r.Template) {
		r.Template = r.File
	}
}

// replace puts a record in the place of one that has the same name, if it is not
// the same. The lock is held.
func (s *State) replace(r *record) {
	if old := s.records[r.name]; old != nil && old.equal(r) {
		return
	}
	s.records[r.name], s.unsaved[r.name] = r, true
}

// equal says whether two records of a name are the same as they are written.
func (r *record) equal(o *record) bool {
	if r.Order != o.Order || r.Source != o.Source || r.Active != o.Active || r.Count != o.Count || (r.File == nil) != (o.File == nil) {
		return false
	}
	if (r.Previous == nil) != (o.Previous == nil) || r.Previous != nil && !sameTemplate(r.Previous, o.Previous) {
		return false
	}
	return (r.File == nil || sameTemplate(r.File, o.File)) && sameTemplate(r.Template, o.Template)
}

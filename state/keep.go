package state

import (
	"context"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/gafferpm/gaffer"
)

// definition is what a source says of a template that is being applied. It becomes
// part of the record together with what it has led to.
type definition struct {
	source string
	file   *gaffer.Template
	forced *gaffer.Template // what will be in force
}

// batch is changes that are written together.
type batch struct {
	done chan struct{}
	err  error
}

// Keep implements gaffer.Store. What is asked of it at the same time is written
// together. What could not be written is written with the next changes.
func (s *State) Keep(_ context.Context, kept []gaffer.Kept) error {
	s.mu.Lock()
	for _, k := range kept {
		s.note(k)
	}
	s.mu.Unlock()
	return s.save()
}

// note takes over a change. The lock is held.
func (s *State) note(k gaffer.Kept) {
	if k.Version < s.versions[k.Name] {
		return
	}
	s.versions[k.Name] = k.Version
	s.unsaved[k.Name] = true
	if k.Wanted == nil {
		delete(s.records, k.Name)
		s.noteGone(removal{k.Name, k.Version})
		return
	}
	r := record{name: k.Name}
	if old := s.records[k.Name]; old != nil {
		r = *old
	} else {
		s.order++
		r.Order = s.order
	}
	forced := k.Wanted.Template
	forced.Files = nil // they are this process's
	r.Template, r.Active, r.Count, r.Previous = &forced, k.Wanted.Active, k.Wanted.Count, k.Wanted.Previous
	if d, ok := s.coming[k.Name]; ok && sameTemplate(d.forced, r.Template) {
		r.Source, r.File = d.source, d.file
	}
	r.share()
	s.records[k.Name] = &r
}

// removal is that of a template, by a change of that version.
type removal struct {
	name    string
	version uint64
}

// maxGone is how many of the latest removals are remembered: a change that was made
// before one of them, and comes after it, must not bring the template back. One that
// comes after so many others does not happen.
const maxGone = 1024

// noteGone remembers a removal, in the place of the oldest one. The lock is held.
func (s *State) noteGone(r removal) {
	s.gone = append(s.gone, r)
	if len(s.gone) <= maxGone {
		return
	}
	oldest := s.gone[0]
	s.gone = slices.Delete(s.gone, 0, 1)
	if s.versions[oldest.name] == oldest.version { // nothing was told of it since
		delete(s.versions, oldest.name)
	}
}

// save returns when all records are in the database as they are now. Those who
// come while another one writes are served together by the next.
func (s *State) save() error {
	s.mu.Lock()
	if b := s.batch; b != nil {
		s.mu.Unlock()
		<-b.done
		return b.err
	}
	b := &batch{done: make(chan struct{})}
	s.batch = b
	s.mu.Unlock()

	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	s.batch = nil
	changed := make(map[string]*record, len(s.unsaved))
	for name := range s.unsaved {
		changed[name] = s.records[name]
	}
	clear(s.unsaved)
	s.mu.Unlock()

	if b.err = s.write(changed); b.err != nil {
		s.mu.Lock()
		for name := range changed {
			s.unsaved[name] = true
		}
		s.mu.Unlock()
	}
	close(b.done)
	s.copyDaily()
	return b.err
}

// write puts records into the database, all of them or none; nil ones are removed.
func (s *State) write(changed map[string]*record) error {
	if len(changed) == 0 {
		return nil
	}
	values := make(map[string][]byte, len(changed))
	for name, r := range changed {
		if r == nil {
			continue
		}
		text, err := r.encode()
		if err != nil {
			return fmt.Errorf("template %s: %w", name, err)
		}
		values[name] = seal(text)
	}
	err := safely(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(templatesBucket))
			for name := range changed {
				var err error
				if value := values[name]; value != nil {
					err = b.Put([]byte(name), value)
				} else {
					err = b.Delete([]byte(name))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("state database: %w", err)
	}
	return nil
}

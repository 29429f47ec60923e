package webhook

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

// Queue keeps what is to be posted, so that it outlives the program. It is used
// from several goroutines.
type Queue interface {
	// Range calls f with all that is kept, in any order. Its error ends the range.
	Range(f func(key string, value []byte) error) error
	// Update keeps values by their keys, and forgets the keys whose value is nil:
	// all of that or nothing, and for good once it returns. The values stay as they
	// are.
	Update(changes map[string][]byte) error
}

// Memory is a Queue that ends with the program. The zero value is empty.
type Memory struct {
	mu     sync.Mutex // guards values
	values map[string][]byte
}

// Range implements Queue.
func (q *Memory) Range(f func(key string, value []byte) error) error {
	q.mu.Lock()
	values := maps.Clone(q.values)
	q.mu.Unlock()
	for key, value := range values {
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

// Update implements Queue.
func (q *Memory) Update(changes map[string][]byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.values == nil {
		q.values = map[string][]byte{}
	}
	for key, value := range changes {
		if value == nil {
			delete(q.values, key)
		} else {
			q.values[key] = value
		}
	}
	return nil
}

// letter is an event on its way to a hook, or one that was given up.
type letter struct {
	Event    json.RawMessage `json:"event"` // what is posted, byte for byte
	Since    time.Time       `json:"since"` // when it was queued
	Attempts int             `json:"attempts,omitempty"`
	Error    string          `json:"error,omitempty"` // of the last attempt
	Dead     time.Time       `json:"dead,omitzero"`   // when it was given up

	seq  uint64
	name string
	kind gaffer.Kind
}

// newLetter is the letter of an event.
func newLetter(e *gaffer.Event, now time.Time) *letter {
	return &letter{Event: encode(e), Since: now, seq: e.Seq, name: e.Name, kind: e.Kind}
}

// encode writes what always can be written as JSON.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // a field that JSON does not have
	}
	return b
}

// readLetter reads what was kept of one.
func readLetter(value []byte) (*letter, error) {
	l := &letter{}
	if err := json.Unmarshal(value, l); err != nil {
		return nil, err
	}
	var e gaffer.Event
	if err := json.Unmarshal(l.Event, &e); err != nil {
		return nil, err
	}
	l.seq, l.name, l.kind = e.Seq, e.Name, e.Kind
	return l, nil
}

// cursor is up to where the journal has been looked through.
type cursor struct {
	Seq uint64 `json:"seq"`
}

// The keys of what is kept: "cursor/HOOK" and "letter/HOOK/SEQ".
const (
	cursorKey = "cursor/"
	letterKey = "letter/"
)

func (l *letter) key(hook string) string { return fmt.Sprintf("%s%s/%016x", letterKey, hook, l.seq) }

// hookOf is the hook that a letter's key names.
func hookOf(key string) (hook string, ok bool) {
	rest, ok := strings.CutPrefix(key, letterKey)
	if !ok {
		return "", false
	}
	hook, _, ok = strings.Cut(rest, "/")
	return hook, ok
}

// readCursor reads what was kept of one; nil when that can't be read.
func readCursor(value []byte) *cursor {
	c := &cursor{}
	if json.Unmarshal(value, c) != nil {
		return nil
	}
	return c
}

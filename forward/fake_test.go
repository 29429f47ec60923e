package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gafferpm/gaffer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is Places that end with the program.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	full   bool
	dead   bool // nothing is kept any more, as after a crash
}

func (m *memory) Range(f func(key string, value []byte) error) error {
	m.mu.Lock()
	values := maps.Clone(m.values)
	m.mu.Unlock()
	for key, value := range values {
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Update(changes map[string][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full || m.dead {
		return errors.New("no space left on device")
	}
	if m.values == nil {
		m.values = map[string][]byte{}
	}
	for key, value := range changes {
		if value == nil {
			delete(m.values, key)
		} else {
			m.values[key] = value
		}
	}
	return nil
}

// after a crash there is what was kept until then.
func (m *memory) crash() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	return &memory{values: maps.Clone(m.values)}
}

// files is a source whose lines are kept, each stream with offsets of its own.
type files struct {
	mu     sync.Mutex
	lines  []gaffer.Output // in the order in which they were written
	ends   map[string]int
	oldest int // lines before are gone
	more   chan struct{}
	leaves bool
	broken error // of Output
	breaks error // of Next, once
}

func newFiles() *files { return &files{ends: map[string]int{}, more: make(chan struct{})} }

func (f *files) Leaves() bool { return f.leaves }

func (f *files) write(name string, texts ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, text := range texts {
		source := name + ".1/stdout"
		f.ends[source] += len(text) + 1
		f.lines = append(f.lines, gaffer.Output{
			Name: name, Slot: 1, Label: "stdout", ID: 1, Time: time.Now(), Data: []byte(text),
			Cursor: fmt.Sprintf("%d@%s@%d", time.Now().UnixNano(), source, f.ends[source]),
		})
	}
	close(f.more)
	f.more = make(chan struct{})
}

// giveUp has all lines but so many gone.
func (f *files) giveUp(keep int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.oldest = len(f.lines) - keep
}

func (f *files) Output(_ context.Context, target gaffer.Target, how gaffer.OutputOptions) (gaffer.Stream[gaffer.Output], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return nil, f.broken
	}
	at := map[string]int{}
	for one := range strings.FieldsSeq(how.After) {
		parts := strings.Split(one, "@")
		at[parts[1]], _ = strconv.Atoi(parts[2])
	}
	return &tape{f: f, target: target, how: how, at: at, closed: make(chan struct{})}, nil
}

type tape struct {
	f      *files
	target gaffer.Target
	how    gaffer.OutputOptions
	at     map[string]int
	next   int
	once   sync.Once
	closed chan struct{}
}

func (s *tape) Next(ctx context.Context) (gaffer.Output, error) {
	for {
		s.f.mu.Lock()
		if err := s.f.breaks; err != nil {
			s.f.breaks = nil
			s.f.mu.Unlock()
			return gaffer.Output{}, err
		}
		for s.next < len(s.f.lines) {
			o := s.f.lines[s.next]
			s.next++
			parts := strings.Split(o.Cursor, "@")
			end, _ := strconv.Atoi(parts[2])
			from, own := s.at[parts[1]]
			if !s.target.Matches(o.Name, o.Slot, o.ID) || own && end <= from || !own && o.Time.Before(s.how.Since) {
				continue
			}
			gone := s.next <= s.f.oldest
			s.f.mu.Unlock()
			if gone {
				return o, &gaffer.OutputGap{Name: o.Name, Slot: 1, Label: "stdout", Bytes: int64(len(o.Data) + 1)}
			}
			return o, nil
		}
		more := s.f.more
		s.f.mu.Unlock()
		select {
		case <-more:
		case <-s.closed:
			return gaffer.Output{}, io.EOF
		case <-ctx.Done():
			return gaffer.Output{}, ctx.Err()
		}
	}
}

func (s *tape) Len() int { return 0 }
func (s *tape) Close()   { s.once.Do(func() { close(s.closed) }) }

// receiver takes lines, or does not.
type receiver struct {
	mu     sync.Mutex
	got    []string
	err    error
	pause  time.Duration // of each send
	refuse func(string) bool
	most   int // at a time; 0: all
	tries  []time.Time
	open   int
}

func (r *receiver) sink(*Destination, *Options) sink {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open++
	return r
}

func (r *receiver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
}

func (r *receiver) send(ctx context.Context, lines []gaffer.Output) (done, lost int, err error) {
	r.mu.Lock()
	pause := r.pause
	r.tries = append(r.tries, time.Now())
	r.mu.Unlock()
	if pause > 0 {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, 0, r.err
	}
	if r.most > 0 {
		lines = lines[:min(len(lines), r.most)]
	}
	for _, l := range lines {
		if r.refuse != nil && r.refuse(string(l.Data)) {
			lost++
			continue
		}
		r.got = append(r.got, string(l.Data))
	}
	return len(lines), lost, nil
}

func (r *receiver) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *receiver) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.got...)
}

var central = Destination{Name: "central", Type: Syslog, URL: "tcp://logs.example.com"}

func begin(t *testing.T, f *files, p Places, r *receiver, all ...Destination) *App {
	t.Helper()
	a, err := New(all, p, Options{newSink: r.sink, Host: "here"})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.start(f); err != nil {
		t.Fatal(err)
	}
	return a
}

func end(t *testing.T, a *App) {
	t.Helper()
	if err := a.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// abort is what a crash does.
func (a *App) crash() {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, r := range a.runners {
		r.end(gone)
	}
}

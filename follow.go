package gaffer

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/gafferpm/gaffer/internal/output"
)

// followers are the readers of output, so that processes to come find them.
type followers struct {
	mu   sync.Mutex // guards list
	list []*follower
}

// follower is one reader of output. Next is called by its reader alone; the rest
// is not changed.
type follower struct {
	m      *Manager
	sel    selection
	how    OutputOptions
	reader *output.Follower[*process]
}

// Output implements Controller.
func (m *Manager) Output(ctx context.Context, target Target, how OutputOptions) (Stream[Output], error) {
	match, err := how.check()
	if err != nil {
		return nil, err
	}
	sel, found, err := m.resolve(target)
	if how.Gone && errors.Is(err, ErrNotFound) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if m.opts.Logs != nil {
		files, err := m.filed(sel, how, match)
		if err != nil {
			return nil, err
		}
		memory, err := inMemory(ctx, found)
		if err != nil || !memory && !how.Gone {
			return withContext[Output](ctx, files), err
		}
		rest, err := m.remembered(ctx, sel, found, how, match)
		if err != nil {
			files.Close()
			return nil, err
		}
		return withContext[Output](ctx, joined(files, arrange(ctx, rest, how, match))), nil
	}
	if how.After != "" {
		return nil, invalidf("after %s: output is not kept in files here", how.After)
	}
	rest, err := m.remembered(ctx, sel, found, how, match)
	if err != nil {
		return nil, err
	}
	return withContext[Output](ctx, arrange(ctx, rest, how, match)), nil
}

// remembered reads what is kept in memory.
func (m *Manager) remembered(ctx context.Context, sel selection, found []*keeper, how OutputOptions, match matcher) (Stream[Output], error) {
	if match != nil || !how.Since.IsZero() || !how.Until.IsZero() {
		how.Tail = -1 // which of them are wanted shows only when they are read
	}
	f := &follower{m: m, sel: sel, how: how, reader: output.FollowLines[*process](0)}
	if how.Raw {
		f.reader = output.FollowRaw[*process](0)
	}
	if !how.NoFollow {
		m.follow.add(f)
	}
	for _, k := range found {
		if err := k.box.do(ctx, func() { f.attachAll(k) }); err != nil {
			f.Close()
			return nil, err
		}
	}
	if how.NoFollow || m.ended() {
		f.reader.End()
	}
	return f, nil
}

func (m *Manager) ended() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.phase == closed
}

// attachFollowers attaches those who want to read what a new process will write.
func (m *Manager) attachFollowers(p *process) {
	m.follow.mu.Lock()
	defer m.follow.mu.Unlock()
	for _, f := range m.follow.list {
		if f.sel.process(p.recipe.Name, p.slot, p.id) {
			f.attach(p, -1)
		}
	}
}

func (fs *followers) add(f *follower) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = append(fs.list, f)
}

func (fs *followers) remove(f *follower) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if i := slices.Index(fs.list, f); i >= 0 {
		fs.list = slices.Delete(fs.list, i, i+1)
	}
}

// close tells all readers that nothing more comes.
func (fs *followers) close() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.list {
		f.reader.End()
	}
	fs.list = nil
}

// attachAll attaches the reader to what a template's processes write, and to what
// the ones before them wrote. It runs in the keeper's mailbox. A process that was
// attached when it was started is not attached again.
func (f *follower) attachAll(k *keeper) {
	for _, s := range k.slots {
		if before := s.lastLog; before != nil && f.sel.process(k.name, s.n, before.Source.id) {
			f.attach(before.Source, f.how.Tail)
		}
		for _, p := range s.processes() {
			if f.sel.process(k.name, p.slot, p.id) {
				f.attach(p, f.how.Tail)
			}
		}
	}
}

func (f *follower) attach(p *process, backlog int) {
	var want func(stream int) bool // nil: all streams
	if len(f.how.Labels) > 0 {
		want = func(stream int) bool { return slices.Contains(f.how.Labels, p.label(stream)) }
	}
	p.log.Attach(f.reader, backlog, want)
}

// Next implements Stream.
func (f *follower) Next(ctx context.Context) (Output, error) {
	r, err := f.reader.Next(ctx)
	if err != nil {
		return Output{}, err
	}
	p := r.Source
	return Output{
		Name: p.recipe.Name, ID: p.id, Slot: p.slot, Label: p.label(r.Stream),
		Time: r.Time, Data: slices.Clone(r.Data), Partial: r.Partial,
	}, nil
}

// Len implements Stream.
func (f *follower) Len() int { return f.reader.Len() }

// Close implements Stream.
func (f *follower) Close() {
	f.m.follow.remove(f)
	f.reader.Close()
}

// Write implements Controller. It waits while the pipe is full.
func (m *Manager) Write(ctx context.Context, target Target, label string, data []byte) error {
	var write func() error
	err := m.process(ctx, target, func(_ *keeper, p *process) (outcome, error) {
		stream, err := p.stream(label)
		if err != nil {
			return outcome{}, err
		}
		if p.os == nil {
			return outcome{}, conflictf("%s: it is being started", p.name())
		}
		os := p.os
		write = func() error { return p.write(ctx, os, stream, data) }
		return outcome{}, nil
	})
	if err != nil {
		return err
	}
	return write()
}

package gaffer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

var _ Sessions = (*Manager)(nil)

// oneOffs are the commands that run in the environments of templates. They are no
// processes of those: no keeper knows of them.
type oneOffs struct {
	mu    sync.Mutex // guards the rest
	all   map[*oneOff]struct{}
	host  *proc.Host // not nil: a host of their own, for the manager's outlives it
	ended bool
}

// lastWords is how long a stream is read on after the end of its command, if somebody
// still has it and nothing comes.
const lastWords = 500 * time.Millisecond

// check tells what is wrong with the options.
func (o *ExecOptions) check() error {
	if len(o.Args) == 0 || o.Args[0] == "" {
		return invalidf("args: want a program and its arguments")
	}
	for _, a := range o.Args {
		if strings.ContainsRune(a, 0) {
			return invalidf("args: a NUL byte")
		}
	}
	for name, value := range o.Env {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			return invalidf("env: %q can't be a variable's name", name)
		case strings.ContainsRune(value, 0):
			return invalidf("env.%s: a NUL byte", name)
		case strings.HasPrefix(name, "GAFFER_"):
			return invalidf("env.%s: that is gaffer's own", name)
		}
	}
	if o.Terminal != nil {
		return o.Terminal.Check()
	}
	return nil
}

// Exec implements Sessions.
func (m *Manager) Exec(ctx context.Context, target Target, how ExecOptions) (Session, error) {
	if err := how.check(); err != nil {
		return nil, err
	}
	if err := m.open(); err != nil {
		return nil, err
	}
	r, slot, err := m.recipeOf(ctx, target)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &oneOff{m: m, name: r.Name, gone: make(chan struct{}), closed: make(chan struct{}), pieces: make(chan SessionOutput)}
	ctx, s.forget = context.WithCancel(ctx)
	host, n, err := m.oneOffs.begin(m, s)
	if err != nil {
		s.forget()
		return nil, err
	}
	spec, err := r.oneOff(slot, n, &how)
	if err == nil {
		err = s.start(host, spec, &how)
	}
	if err != nil {
		m.oneOffs.over(s)
		s.forget()
		return nil, named(r.Name, err)
	}
	context.AfterFunc(ctx, s.kill)
	return s, nil
}

// recipeOf finds the template that a target selects, and the slot, which is 1 unless the
// target says so.
func (m *Manager) recipeOf(ctx context.Context, target Target) (r *recipe, slot int, err error) {
	sel, found, err := m.resolve(target)
	if err != nil {
		return nil, 0, err
	}
	if !sel.one() && len(found) != 1 {
		return nil, 0, invalidf("%s: selects %d templates; want one", target, len(found))
	}
	for _, k := range found {
		err := k.box.do(ctx, func() {
			slot = max(1, sel.slot)
			if sel.id != 0 {
				ps := k.selected(sel)
				if len(ps) == 0 {
					return
				}
				slot = ps[0].slot
			}
			if sel.slot <= max(k.count, len(k.slots)) {
				r = k.recipe
			}
		})
		if err != nil || r != nil {
			return r, slot, err
		}
	}
	return nil, 0, notFoundf("%s: not found", target)
}

// oneOff is how to run the command of that number in the environment of a slot.
func (r *recipe) oneOff(slot int, n uint64, how *ExecOptions) (*proc.Spec, error) {
	r, err := r.resolved()
	if err != nil {
		return nil, err
	}
	vars, field, err := r.variables(slot, 0)
	if err != nil {
		return nil, &FieldError{field, err}
	}
	for _, name := range [...]string{"GAFFER_ID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_USEC"} { // of processes
		delete(vars, name)
	}
	if _, given := vars["TERM"]; how.Terminal != nil && !given {
		vars["TERM"] = defaultTerm
	}
	maps.Copy(vars, how.Env)
	// Process 0 is none: to stop the template does not end it, but the next manager does.
	vars[markName] = r.mark(0) + "." + strconv.FormatUint(n, 10)
	dir, err := expand(r.Cwd, func(name string) (string, bool) {
		if v, ok := vars[name]; ok {
			return v, true
		}
		return r.inherited(name)
	})
	if err != nil {
		return nil, &FieldError{"cwd", err}
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(r.env.dir, dir)
	}
	if err := checkDir(dir); err != nil {
		return nil, &FieldError{"cwd", err}
	}
	spec := &proc.Spec{
		Args: slices.Clone(how.Args), Env: r.environ(vars), Dir: dir, Cred: r.cred(),
		Terminal: how.Terminal != nil, Token: markName + "=" + vars[markName],
	}
	if spec.Path, err = lookProgram(spec, spec.Args[0], r.env); err != nil {
		return nil, invalidf("%v", err)
	}
	return spec, nil
}

// begin counts a command in, and returns who is to start it.
func (o *oneOffs) begin(m *Manager, s *oneOff) (host, uint64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return nil, 0, ErrClosed
	}
	h := m.host
	if m.opts.Holder != nil {
		if o.host == nil {
			own, err := proc.NewHost(proc.Options{Subreaper: true, NoCgroup: true, Logger: m.logger})
			if err != nil {
				return nil, 0, fmt.Errorf("process host: %w", err)
			}
			o.host = own
		}
		h = o.host
	}
	if o.all == nil {
		o.all = map[*oneOff]struct{}{}
	}
	o.all[s] = struct{}{}
	return h, m.asides.Add(1), nil
}

// over counts one out. The last closes the host, which costs something even when it is idle.
func (o *oneOffs) over(s *oneOff) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.all, s)
	if len(o.all) == 0 && o.host != nil {
		_ = o.host.Close()
		o.host = nil
	}
}

// end ends all, and lets no other begin.
func (o *oneOffs) end() {
	o.mu.Lock()
	o.ended = true
	all := slices.Collect(maps.Keys(o.all))
	o.mu.Unlock()
	var closing sync.WaitGroup
	for _, s := range all {
		closing.Go(s.Close)
	}
	closing.Wait()
}

// oneOff is a command that runs. It is a Session, and the handler of its process.
type oneOff struct {
	m      *Manager
	name   string             // of the template
	forget context.CancelFunc // ends the context that the command ends with

	os       proc.Process
	terminal *os.File    // our end of it; nil: it has none
	input    *proc.Input // nil: it has none
	outputs  []*os.File
	readers  sync.WaitGroup

	pieces chan SessionOutput // closed when all has ended
	gone   chan struct{}      // closed when the command is, and exit is set
	exit   *Exit
	told   atomic.Bool // Next has said so
	closed chan struct{}
	once   sync.Once
}

// start opens the streams and starts the command.
func (s *oneOff) start(h host, spec *proc.Spec, how *ExecOptions) error {
	theirs, err := s.open(spec, how)
	defer func() {
		for _, f := range theirs {
			_ = f.Close()
		}
	}()
	if err != nil {
		s.closeFiles()
		return err
	}
	started := make(chan error, 1)
	h.Launch(spec, s, func(err error) { started <- err })
	if err := <-started; err != nil {
		s.closeFiles()
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOEXEC) {
			return invalidf("%v", err)
		}
		return err
	}
	for i, f := range s.outputs {
		s.readers.Go(func() { s.read(f, i == 1) })
	}
	go s.finish()
	return nil
}

// open opens the command's streams. theirs are to be closed after the start.
func (s *oneOff) open(spec *proc.Spec, how *ExecOptions) (theirs []*os.File, err error) {
	spec.Stdio = new([3]*os.File)
	if how.Terminal != nil {
		master, slave, err := proc.OpenTerminal(how.Terminal.proc(), spec.Cred)
		if err != nil {
			return nil, err
		}
		s.terminal, s.input, s.outputs = master, proc.NewInput(master), []*os.File{master}
		*spec.Stdio = [3]*os.File{slave, slave, slave}
		return []*os.File{slave}, nil
	}
	if how.Input {
		ours, other, err := proc.Pipe(true)
		if err != nil {
			return nil, err
		}
		s.input, spec.Stdio[0], theirs = proc.NewInput(ours), other, append(theirs, other)
	}
	for i := range 2 {
		ours, other, err := proc.Pipe(false)
		if err != nil {
			return theirs, err
		}
		s.outputs, spec.Stdio[1+i], theirs = append(s.outputs, ours), other, append(theirs, other)
	}
	return theirs, nil
}

func (s *oneOff) closeFiles() {
	if s.input != nil {
		_ = s.input.Close()
	}
	for _, f := range s.outputs {
		_ = f.Close()
	}
}

// pieceSize is how much is read at a time.
const pieceSize = 32 << 10

// read hands over what the command writes to a stream, as fast as it is taken.
func (s *oneOff) read(f *os.File, stderr bool) {
	buf := make([]byte, pieceSize)
	for {
		n, err := f.Read(buf)
		if n > 0 {
			select {
			case s.pieces <- SessionOutput{Stderr: stderr, Data: slices.Clone(buf[:n])}:
			case <-s.closed:
				return
			}
			select {
			case <-s.gone:
				_ = f.SetReadDeadline(time.Now().Add(lastWords))
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

// finish sees the command through its end.
func (s *oneOff) finish() {
	<-s.gone
	for _, f := range s.outputs { // somebody may still have the other end
		_ = f.SetReadDeadline(time.Now().Add(lastWords))
	}
	s.readers.Wait()
	s.closeFiles()
	s.m.oneOffs.over(s)
	close(s.pieces)
	s.forget()
}

// Started implements proc.Handler.
func (s *oneOff) Started(p proc.Process) { s.os = p }

// Output implements proc.Handler.
func (s *oneOff) Output(int, []byte) {}

// Exited implements proc.Handler.
func (s *oneOff) Exited(e proc.Exit) {
	s.exit = &Exit{Status: e.Status, Signal: Signal(e.Signal), Time: e.Time, Reason: describe(e)}
	if e.Leftover > 0 {
		s.exit.Reason += fmt.Sprintf("; killed %s it had left behind", plural(e.Leftover, "process", "processes"))
	}
	close(s.gone)
}

// Next implements Session.
func (s *oneOff) Next(ctx context.Context) (SessionOutput, error) {
	if err := ctx.Err(); err != nil {
		return SessionOutput{}, err
	}
	select {
	case p, more := <-s.pieces:
		if !more {
			s.told.Store(true)
			return p, io.EOF
		}
		return p, nil
	case <-ctx.Done():
		return SessionOutput{}, ctx.Err()
	}
}

// Write implements Session.
func (s *oneOff) Write(ctx context.Context, data []byte) error {
	if s.input == nil {
		return conflictf("the command of %s has no input", s.name)
	}
	_, err := s.input.Write(ctx, data)
	if errors.Is(err, proc.ErrClosed) {
		return conflictf("the command of %s has ended, or reads no more", s.name)
	}
	return err
}

// endOfInput is what a terminal takes for the end of what is typed.
const endOfInput = 4

// CloseInput implements Session.
func (s *oneOff) CloseInput(ctx context.Context) error {
	switch {
	case s.terminal != nil:
		return s.Write(ctx, []byte{endOfInput})
	case s.input != nil:
		_ = s.input.Close() // it may be closed
	}
	return nil
}

// Resize implements Session.
func (s *oneOff) Resize(_ context.Context, size WindowSize) error {
	if err := size.Check(); err != nil {
		return err
	}
	if s.terminal == nil {
		return conflictf("the command of %s has no terminal", s.name)
	}
	if err := proc.Resize(s.terminal, size.proc()); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("window size: %w", err)
	}
	return nil
}

// Signal implements Session.
func (s *oneOff) Signal(_ context.Context, sig Signal) error {
	if sig < 1 || sig > 64 {
		return invalidf("signal %d: want a number from 1 to 64", int(sig))
	}
	if err := s.os.SignalGroup(syscall.Signal(sig)); err != nil && !errors.Is(err, proc.ErrClosed) {
		return err
	}
	return nil
}

// PID implements Session.
func (s *oneOff) PID() int { return s.os.PID() }

// Exit implements Session.
func (s *oneOff) Exit() *Exit {
	if !s.told.Load() {
		return nil
	}
	return s.exit
}

// Close implements Session.
func (s *oneOff) Close() {
	s.kill()
	<-s.gone
	for range s.pieces { // until the readers have ended
	}
}

// kill ends the command, and the delivery of what it writes.
func (s *oneOff) kill() {
	s.once.Do(func() {
		close(s.closed)
		select {
		case <-s.gone:
		default:
			s.os.Kill()
		}
	})
}

//go:build unix

package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// portable is the Host of systems without pidfds. It waits for each process on a
// goroutine, which is a thread, and reads each pipe on another. Of what a process
// leaves behind it ends the process group only.
//
// mu guards closed.
type portable struct {
	mu     sync.Mutex
	closed bool
}

func newPortable(Options) (starter, error) { return new(portable), nil }

func (h *portable) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	h.closed = true
	return nil
}

func (h *portable) Start(spec *Spec, handler Handler) error {
	if err := spec.check(); err != nil {
		return err
	}
	h.mu.Lock()
	closed := h.closed
	h.mu.Unlock()
	if closed {
		return ErrClosed
	}
	w := &waited{handler: handler, detach: spec.Detach, spare: spec.Spare}
	files, theirs, err := w.open(spec)
	if err == nil {
		err = w.start(spec, files)
	}
	for _, f := range theirs {
		_ = f.Close()
	}
	if err != nil {
		w.closeFiles()
		return err
	}
	handler.Started(w)
	w.watch()
	return nil
}

// waited is a process of a portable Host. It implements Process.
//
// mu guards ended; calls is held during calls of the handler.
type waited struct {
	handler Handler
	process *os.Process
	started time.Time
	detach  bool
	spare   bool     // what it leaves behind is left alone
	inputs  []*input // stdin, then the custom streams; nil where there is none
	sources []*reader
	release func(*Exit) // of its cgroup; nil: it has none

	calls sync.Mutex
	mu    sync.Mutex
	ended bool
}

// reader is a pipe or stream that the process writes to.
type reader struct {
	file   *os.File
	stream int
	done   chan struct{} // closed when nobody reads it any more
}

var _ Process = (*waited)(nil)

func (w *waited) start(spec *Spec, files []*os.File) error {
	spec = spec.withOwnPID()
	if spec.Limits != nil {
		return w.startLimited(spec, files)
	}
	sys := &syscall.SysProcAttr{Setsid: true}
	if spec.changesUser() {
		sys.Credential = &syscall.Credential{Uid: spec.Cred.UID, Gid: spec.Cred.GID, Groups: spec.Cred.Groups}
	}
	return w.startAs(spec, files, sys)
}

func (w *waited) startAs(spec *Spec, files []*os.File, sys *syscall.SysProcAttr) error {
	sys.Setctty = spec.Terminal
	attr := os.ProcAttr{Dir: spec.Dir, Env: append([]string{}, spec.Env...), Files: files, Sys: sys}
	p, err := os.StartProcess(spec.Path, spec.Args, &attr)
	if err != nil {
		return spec.guessFault(err)
	}
	w.process, w.started = p, time.Now()
	return nil
}

// open opens what spec asks for. theirs are to be closed after the start, also
// after an error.
func (w *waited) open(spec *Spec) (files, theirs []*os.File, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	files, theirs = append([]*os.File{null, null, null}, spec.Files...), []*os.File{null}
	if spec.Detach {
		return files, theirs, nil
	}
	w.inputs = make([]*input, 1, 1+spec.Streams)
	switch {
	case spec.Stdio != nil:
		for i, f := range spec.Stdio {
			if f != nil {
				files[i] = f
			}
		}
	case spec.Terminal:
		master, slave, err := w.openTerminal(spec)
		if err != nil {
			return nil, theirs, err
		}
		files[Stdin], files[Stdout], files[Stderr] = slave, slave, slave
		theirs = append(theirs, slave)
		w.sources = append(w.sources, &reader{master, Stdout, make(chan struct{})})
	default:
		if theirs, err = w.openStandard(spec, files, theirs); err != nil {
			return nil, theirs, err
		}
	}
	for i := range spec.Streams {
		ours, other, err := socketPair()
		if err != nil {
			return nil, theirs, fmt.Errorf("stream %d: %w", i, err)
		}
		files, theirs = append(files, other), append(theirs, other)
		w.inputs = append(w.inputs, newInputFile(ours))
		w.sources = append(w.sources, &reader{ours, Custom + i, make(chan struct{})})
	}
	if spec.Notify {
		return nil, theirs, fmt.Errorf("notify: %w", syscall.ENOSYS)
	}
	if spec.ReadyFD > 0 {
		if spec.ReadyFD < len(files) {
			return nil, theirs, fmt.Errorf("descriptor %d: is taken: %w", spec.ReadyFD, syscall.EBUSY)
		}
		for len(files) < spec.ReadyFD {
			files = append(files, null)
		}
		r, wr, err := os.Pipe()
		if err != nil {
			return nil, theirs, fmt.Errorf("descriptor %d: %w", spec.ReadyFD, errnoOf(err))
		}
		files, theirs = append(files, wr), append(theirs, wr)
		w.sources = append(w.sources, &reader{r, ReadyPipe, make(chan struct{})})
	}
	return files, theirs, nil
}

// openTerminal opens the process's terminal.
func (w *waited) openTerminal(spec *Spec) (master, slave *os.File, err error) {
	master, slave, err = OpenTerminal(DefaultWindow, spec.Cred)
	if err != nil {
		return nil, nil, err
	}
	typed, err := duplicate(master)
	if err != nil {
		_, _ = master.Close(), slave.Close()
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	w.inputs[0] = newInputFile(typed)
	return master, slave, nil
}

// openStandard opens stdin, stdout and stderr as pipes.
func (w *waited) openStandard(spec *Spec, files, theirs []*os.File) ([]*os.File, error) {
	if spec.Input {
		r, wr, err := os.Pipe()
		if err != nil {
			return theirs, fmt.Errorf("stdin: %w", errnoOf(err))
		}
		files[Stdin], theirs = r, append(theirs, r)
		w.inputs[0] = newInputFile(wr)
	}
	for i := range spec.Outputs {
		if i == 1 && spec.Merge {
			files[Stderr] = files[Stdout]
			break
		}
		r, wr, err := os.Pipe()
		if err != nil {
			return theirs, fmt.Errorf("output %d: %w", i, errnoOf(err))
		}
		files[Stdout+i], theirs = wr, append(theirs, wr)
		w.sources = append(w.sources, &reader{r, Stdout + i, make(chan struct{})})
	}
	return theirs, nil
}

// socketPair returns a non-blocking end for us and a blocking one for a child.
func socketPair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(p[0])
		unix.CloseOnExec(p[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	_ = unix.SetNonblock(p[0], true)
	return os.NewFile(uintptr(p[0]), "stream"), os.NewFile(uintptr(p[1]), "stream"), nil
}

func (w *waited) closeFiles() {
	for _, s := range w.sources {
		_ = s.file.Close()
	}
	for _, in := range w.inputs {
		if in != nil {
			_ = in.file.Close()
		}
	}
}

func (w *waited) watch() {
	for _, s := range w.sources {
		go w.read(s)
	}
	go w.wait()
}

func (w *waited) output(s *reader, data []byte) {
	w.calls.Lock()
	defer w.calls.Unlock()
	w.handler.Output(s.stream, data)
}

func (w *waited) read(s *reader) {
	defer close(s.done)
	buf := make([]byte, 32<<10)
	for {
		n, err := s.file.Read(buf)
		if n > 0 {
			w.output(s, buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// wait sees the process through its end.
func (w *waited) wait() {
	state, err := w.process.Wait()
	exit := Exit{Status: -1, Time: time.Now()}
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	if w.detach {
		return
	}
	// The number of an empty group may be reused, but not at once.
	if !w.spare && unix.Kill(-w.process.Pid, unix.SIGKILL) == nil {
		exit.Leftover = 1 // at least
	}
	if err == nil {
		status := state.Sys().(syscall.WaitStatus)
		exit.Status = status.ExitStatus()
		if status.Signaled() {
			exit.Signal, exit.Core = status.Signal(), status.CoreDump()
		}
	}
	for _, s := range w.sources {
		_ = s.file.SetReadDeadline(time.Unix(1, 0)) // somebody may still hold the other end
		<-s.done
		w.drain(s)
	}
	w.closeFiles()
	if w.release != nil {
		w.release(&exit)
	}
	w.calls.Lock()
	defer w.calls.Unlock()
	w.handler.Exited(exit)
}

// drainLimit bounds what is read after the end: more than a pipe holds was
// written by somebody else.
const drainLimit = 1 << 20

// drain hands over what is left in a pipe that nobody reads any more.
func (w *waited) drain(s *reader) {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 32<<10)
	_ = conn.Control(func(fd uintptr) {
		for total := 0; total < drainLimit; {
			n, err := unix.Read(int(fd), buf)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if n <= 0 {
				return
			}
			w.output(s, buf[:n])
			total += n
		}
	})
}

func (w *waited) PID() int           { return w.process.Pid }
func (w *waited) Started() time.Time { return w.started }

func (w *waited) Signal(sig syscall.Signal) error {
	err := w.process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) || errors.Is(err, unix.ESRCH) {
		return ErrClosed
	}
	return err
}

func (w *waited) SignalGroup(sig syscall.Signal) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return ErrClosed
	}
	err := unix.Kill(-w.process.Pid, sig)
	if errors.Is(err, unix.ESRCH) {
		return ErrClosed
	}
	if err != nil {
		return fmt.Errorf("process %d: signal %d: %w", w.process.Pid, int(sig), err)
	}
	return nil
}

func (w *waited) Kill() {
	_ = w.SignalGroup(unix.SIGKILL)
}

func (w *waited) Resize(size WindowSize) error { return resizeInput(w.inputs, w.process.Pid, size) }

func (w *waited) Write(ctx context.Context, stream int, data []byte) (int, error) {
	return writeInput(ctx, w.inputs, w.process.Pid, stream, data)
}

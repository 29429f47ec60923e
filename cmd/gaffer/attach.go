package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
	"github.com/gafferpm/gaffer/internal/console"
)

// attachFlags are the flags of gaffer attach.
type attachFlags struct {
	detachKeys string
	noStdin    bool
}

func newAttach() *cobra.Command {
	var f attachFlags
	cmd := &cobra.Command{
		Use:   "attach [flags] TARGET",
		Short: "See, and type, what goes into and comes out of a process",
		Long: `Connect this terminal with the one process that TARGET selects, until it ends. What
it wrote last comes first.

With pty = true in its template all keys go to the process, Ctrl-C too, and it
learns how large the window is: of several who are attached, the one who came, or
changed the size, last. The detach keys, one after the other, end this and leave the
process alone.

Without a terminal of its own a process is shown by lines, as gaffer logs does, and
what is typed goes to it line by line if it has redirect_input = true. Ctrl-C ends
this and leaves the process alone.

When the daemon is started again meanwhile, this goes on with the next one where it
was.

Exit status: 0 when detached; when the process has ended its own, or 128 and the
number of the signal that ended it, 1 when that is not known; 4 when no daemon
answers.`,
		Example: `  gaffer attach console
  gaffer attach --detach-keys ctrl-a,d web.2`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usagef("to what? want `%s TARGET`", cmd.CommandPath())
			case len(args) > 1:
				return usagef("unexpected argument %q", args[1])
			}
			return nil
		},
		ValidArgsFunction: completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			target := gaffer.Target(args[0])
			if err := target.Check(); err != nil {
				return &usageError{err}
			}
			keys, err := parseDetachKeys(f.detachKeys)
			if err != nil {
				return usagef("--detach-keys: %w", err)
			}
			return f.run(cmd, target, keys)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.detachKeys, "detach-keys", defaultDetachKeys, "`keys` that end this, with commas between: a character, or ctrl- and one; \"\" for none")
	flags.BoolVarP(&f.noStdin, "no-stdin", "n", false, "only show; type nothing")
	return cmd
}

// attached is a command that is connected to a process.
type attached struct {
	c      *client.Client
	target gaffer.Target // of the process, by its id
	name   string        // "web.2"
	info   gaffer.Info
	tty    *tty // nil: this one has none
	keys   *detachKeys
	seen   gaffer.Cursors // of what was shown last

	cancel   context.CancelFunc
	detached atomic.Bool

	mu      sync.Mutex         // guards the rest
	to      *client.Attachment // where it is connected just now; nil: nowhere
	waiting []byte             // what was typed meanwhile
}

func (f *attachFlags) run(cmd *cobra.Command, target gaffer.Target, keys *detachKeys) error {
	c, err := connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	a := &attached{c: c, keys: keys}
	if err := a.find(cmd.Context(), target); err != nil {
		return explain(cmd.Context(), c, target, err)
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	a.cancel = cancel
	in, inTTY := isTerminal(cmd.InOrStdin())
	out, outTTY := isTerminal(cmd.OutOrStdout())
	t := a.info.Template
	types := !f.noStdin && (t.PTY || t.RedirectInput)
	show := &raw{out: cmd.OutOrStdout()}
	switch {
	case t.PTY && inTTY && outTTY && types:
		if a.tty, err = openTTY(in, out, a.resize); err != nil {
			return err
		}
		defer a.tty.close()
	case !t.PTY:
		s := newScreen(cmd)
		show.lines = console.NewLines(console.Options{Out: cmd.OutOrStdout(), Color: s.color, Terminal: s.terminal}, []gaffer.Info{a.info}, false)
		if !types && !f.noStdin && inTTY {
			fmt.Fprintf(os.Stderr, "gaffer: %s reads nothing: its template has no redirect_input = true\n", a.name)
		}
	}
	if types {
		if a.tty == nil {
			a.keys = &detachKeys{} // they are only keys where each key comes alone
		}
		go a.typing(cmd.InOrStdin())
	}
	err = a.follow(ctx, show)
	if a.tty != nil {
		a.tty.leave()
	}
	if a.detached.Load() {
		fmt.Fprintf(os.Stderr, "\ngaffer: detached from %s, which goes on\n", a.name)
		return nil
	}
	return err
}

// find finds the process.
func (a *attached) find(ctx context.Context, target gaffer.Target) error {
	infos, err := a.c.List(ctx, target)
	if err != nil {
		return err
	}
	count := 0
	for _, info := range infos {
		for _, p := range info.Status.Processes {
			if p.ID == 0 {
				continue
			}
			count++
			a.info, a.name = info, slotName(info.Status.Name, p.Slot)
			a.target = gaffer.Target(strconv.FormatUint(p.ID, 10))
		}
		if info.Template.Detach {
			return fmt.Errorf("%s: it is detached: nobody has its input and output: %w", target, gaffer.ErrConflict)
		}
	}
	switch count {
	case 0:
		return fmt.Errorf("%s: no process runs there: %w", target, gaffer.ErrNotFound)
	case 1:
		return nil
	}
	return fmt.Errorf("%s: selects %d processes; want one, as %s: %w", target, count, a.name, gaffer.ErrInvalid)
}

// raw shows output as it comes, or by lines.
type raw struct {
	out   io.Writer
	lines *console.Lines // nil: as it comes
}

func (r *raw) show(o gaffer.Output) error {
	if r.lines != nil {
		r.lines.Line(o)
		return nil
	}
	_, err := r.out.Write(o.Data)
	return err
}

func (r *raw) flush() error {
	if r.lines == nil {
		return nil
	}
	return r.lines.Flush()
}

// follow shows what the process writes, over restarts of the daemon, to its end.
func (a *attached) follow(ctx context.Context, show *raw) error {
	for again := false; ; again = true {
		at, err := a.c.Attach(ctx, a.target, a.options(again))
		switch {
		case err == nil:
			a.connected(at, again)
			err = a.pour(ctx, at, show)
			a.connected(nil, false)
			at.Close()
		case again && errors.Is(err, gaffer.ErrNotFound):
			return a.over(a.lastExit(ctx))
		case again && (errors.Is(err, client.ErrNoDaemon) || errors.Is(err, gaffer.ErrClosed)):
			err = client.ErrLost
		}
		switch {
		case errors.Is(err, io.EOF):
			return a.over(at.Exit())
		case !errors.Is(err, client.ErrLost) || ctx.Err() != nil:
			return err
		}
		if err := awaitDaemon(ctx, a.c, a.say); err != nil {
			return err
		}
	}
}

// What is shown of what was before: bytes of a screen, or lines.
const (
	leastTail = 4 << 10
	mostTail  = 64 << 10
	tailLines = 10
)

// options are what to ask for.
func (a *attached) options(again bool) client.AttachOptions {
	how := client.AttachOptions{Lines: !a.info.Template.PTY, After: a.seen.After(0)}
	switch {
	case again: // goes on where it was, as far as that can be known
	case how.Lines:
		how.Tail = tailLines
	default:
		size := (&tty{out: os.Stdout}).size()
		how.Tail = min(max(2*size.Cols*size.Rows, leastTail), mostTail)
	}
	return how
}

// say says something on this terminal as it is.
func (a *attached) say(text string) {
	if a.tty == nil {
		complain(text)
		return
	}
	fmt.Fprintf(os.Stderr, "\r\ngaffer: %s\r\n", text)
}

// pour shows what comes over one connection.
func (a *attached) pour(ctx context.Context, at *client.Attachment, show *raw) error {
	for {
		if at.Len() == 0 {
			if err := show.flush(); err != nil {
				return err
			}
		}
		o, err := at.Next(ctx)
		var missed gaffer.Missed
		var refused *client.InputError
		switch {
		case err == nil:
			if err := show.show(o); err != nil {
				return err
			}
			a.seen.Read(o)
		case errors.As(err, &missed):
			a.say(missing(int(missed), "byte"))
		case errors.As(err, &refused):
			a.say(console.Clean(refused.Text))
		default:
			return errors.Join(err, show.flush())
		}
	}
}

// connected is told where what is typed goes.
func (a *attached) connected(at *client.Attachment, again bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.to = at
	if at == nil {
		return
	}
	if a.tty != nil {
		size := a.tty.size()
		if !again && size.Rows > 1 { // a program that draws its screen does so at each new size
			_ = at.Resize(gaffer.WindowSize{Cols: size.Cols, Rows: size.Rows - 1}) // or it is lost
		}
		_ = at.Resize(size)
	}
	waiting := a.waiting
	a.waiting = nil
	a.sendLocked(waiting)
}

func (a *attached) resize(size gaffer.WindowSize) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.to != nil {
		_ = a.to.Resize(size) // or it is lost
	}
}

// mostWaiting is how much may be typed while there is no daemon.
const mostWaiting = 64 << 10

// sendLocked sends what was typed, or keeps it for the next connection.
func (a *attached) sendLocked(data []byte) {
	if len(data) == 0 || a.to != nil && a.to.Write("stdin", data) == nil {
		return
	}
	if len(a.waiting)+len(data) <= mostWaiting {
		a.waiting = append(a.waiting, data...)
	}
}

// typing sends what is typed, and finds the keys that detach.
func (a *attached) typing(in io.Reader) {
	defer a.tty.guard()
	buf := make([]byte, chunk)
	for {
		n, err := in.Read(buf)
		data, detach := a.keys.typed(buf[:n])
		if err != nil {
			data = append(data, a.keys.rest()...)
		}
		a.mu.Lock()
		a.sendLocked(data)
		a.mu.Unlock()
		if detach {
			a.detached.Store(true)
			a.cancel()
		}
		if detach || err != nil {
			return
		}
	}
}

// lastExit is how the process has ended while nobody was connected, nil if nobody knows.
func (a *attached) lastExit(ctx context.Context) *gaffer.Exit {
	events, err := a.c.History(ctx, gaffer.Target(a.name))
	if err != nil {
		return nil
	}
	for _, e := range events {
		if strconv.FormatUint(e.ID, 10) == string(a.target) && e.Exit != nil {
			return e.Exit
		}
	}
	return nil
}

// over says that the process has ended.
func (a *attached) over(e *gaffer.Exit) error {
	if a.tty != nil {
		a.tty.leave()
	}
	reason := "nobody knows how"
	if e != nil {
		reason = e.Reason
	}
	fmt.Fprintf(os.Stderr, "gaffer: %s has ended: %s\n", a.name, console.Clean(reason))
	if status := exitStatus(e); status != 0 {
		return statusError(status)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api"
	"github.com/gafferpm/gaffer/config"
	"github.com/gafferpm/gaffer/internal/holder"
	"github.com/gafferpm/gaffer/internal/proc"
)

// link is the daemon's line to the process that holds its services.
type link struct {
	client *holder.Client
	held   []*proc.Held // by it, when this manager began
	host   *proc.HeldHost
	ledger *proc.Ledger
	pipes  string
	before []*proc.Held  // found before another manager was asked to leave
	gone   chan struct{} // closed when the holder has ended
}

// openLink greets the holder, if there is one.
func (d *daemon) openLink(context.Context) error {
	if d.flags.holderFD == 0 {
		return nil
	}
	client, held, err := holder.Connect(d.flags.holderFD)
	if err != nil {
		return err
	}
	if os.Getenv("LISTEN_FDS") != "" {
		_ = os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())) // they were opened for the holder
	}
	d.link = &link{client: client, held: held, gone: make(chan struct{})}
	d.starter.say = client.TellStarter
	d.pid = client.PID()
	return nil
}

// shareLog has the holder write its log where this manager does.
func (d *daemon) shareLog(out *os.File, format string, level slog.Level) error {
	if d.link == nil {
		return nil
	}
	return d.link.client.LogTo(out, logWay(format, level))
}

// keptFile is what a manager before has had kept, nil if none has.
func (d *daemon) keptFile(name string) *os.File {
	if d.link == nil {
		return nil
	}
	return d.link.client.Files[name]
}

// keepFile has the holder keep a file until the daemon ends.
func (d *daemon) keepFile(name string, f *os.File) error {
	if d.link == nil || f == d.keptFile(name) {
		return nil
	}
	return d.link.client.KeepFile(name, f)
}

// resumes says that this manager goes on where another one has left off.
func (d *daemon) resumes() bool {
	return d.link != nil && (!d.link.client.Welcome.First || d.last.unfinished())
}

// sameLife says that the one before was a manager of the same holder: what it had
// applied is in force, whatever the files say by now.
func (d *daemon) sameLife() bool { return d.link != nil && !d.link.client.Welcome.First }

// wasKilled says that the manager before, of the same holder, has not ended in order.
func (d *daemon) wasKilled() bool { return d.link.client.Welcome.Last != holder.LeftInOrder }

// outlived says what is kept beyond the manager's end.
func (d *daemon) outlived(o *gaffer.Options) {
	if d.link != nil {
		o.Holder = d.link.host
		o.Sockets = &serviceSockets{d.link.client, d.served}
	}
	if d.logs != nil {
		o.Logs = d.logs
	}
}

// openHost makes the host of what the holder holds.
func (d *daemon) openHost(context.Context) error {
	if d.link == nil {
		return nil
	}
	dir, err := filepath.Abs(d.flags.runtimeDir)
	if err != nil {
		return err
	}
	l := d.link
	l.pipes = filepath.Join(dir, "pipes")
	if err := config.PrivateDir(l.pipes); err != nil {
		return fmt.Errorf("directory of pipes %w", err)
	}
	var entries []proc.Entry
	if l.ledger, entries, err = proc.OpenLedger(dir, bootID()); err != nil {
		return err
	}
	l.host, err = proc.NewHeldHost(proc.Options{Logger: d.log}, l.client, l.pipes, l.ledger)
	if err != nil {
		return errors.Join(err, l.ledger.Close())
	}
	d.matchHeld(entries)
	if last := l.client.Welcome.Last; last != "" {
		level := slog.LevelWarn
		if last == holder.LeftInOrder {
			level = slog.LevelInfo
		}
		d.log.Log(context.Background(), level, "a manager takes over", "last", last, "processes", len(l.held))
	}
	return nil
}

// lookAhead holds what another manager still looks after, so that nothing ends unseen
// while it leaves.
func (d *daemon) lookAhead() {
	if d.link == nil || d.link.before != nil {
		return
	}
	dir, err := filepath.Abs(d.flags.runtimeDir)
	if err != nil {
		return
	}
	never := func(uint64) func(string) bool { return func(string) bool { return false } }
	var born []proc.Entry
	for _, e := range proc.ReadLedger(dir, bootID()) {
		if e.PID != 0 {
			born = append(born, e)
		}
	}
	d.link.before = proc.FindHeld(born, filepath.Join(dir, "pipes"), never)
}

// matchHeld brings together what the holder holds and what the ledger knows: what only
// the ledger knows is looked for.
func (d *daemon) matchHeld(entries []proc.Entry) {
	l := d.link
	notes := map[uint64][]byte{}
	held := map[uint64]bool{}
	for _, e := range entries {
		notes[e.ID] = e.Note
	}
	for _, h := range l.held {
		h.Note = notes[h.ID]
		held[h.ID] = true
	}
	var search []proc.Entry
	for _, e := range entries {
		switch {
		case held[e.ID]:
		case d.sameLife(): // the holder would know of it
			l.ledger.Gone(e.ID)
		default:
			search = append(search, e)
		}
	}
	before := map[uint64]*proc.Held{}
	for _, h := range slices.Concat(l.client.Restored, l.before) {
		if was := before[h.ID]; was != nil {
			h.Merge(was)
			was.Release()
		}
		before[h.ID] = h
	}
	if len(search) > 0 {
		d.searchHeld(search, before)
	}
	for _, h := range before {
		h.Release()
	}
	found := d.adopted()
	for _, e := range search {
		if !found[e.ID] { // it was never started
			l.ledger.Gone(e.ID)
		}
	}
	proc.SweepPipes(l.pipes, func(id uint64) bool { return found[id] })
}

// searchHeld looks for what only the ledger knows. What was seen before, and is no
// more, has ended since.
func (d *daemon) searchHeld(search []proc.Entry, before map[uint64]*proc.Held) {
	l := d.link
	marked := func(id uint64) func(string) bool { return d.marked(id) }
	for _, h := range proc.FindHeld(search, l.pipes, marked) {
		if b := before[h.ID]; b != nil {
			h.Merge(b)
		}
		if h.PIDFD >= 0 {
			l.client.Hold(h.ID, h.PID, h.PIDFD, h.Keep)
		}
		l.held = append(l.held, h)
	}
}

// marked tells whether an entry of an environment is the mark of the process of an id.
func (d *daemon) marked(id uint64) func(entry string) bool {
	want := d.last.Instance + "." + strconv.FormatUint(id, 10)
	return func(entry string) bool {
		value, ok := strings.CutPrefix(entry, "GAFFER_INSTANCE=")
		if !ok {
			return false
		}
		for mark := range strings.SplitSeq(value, "/") {
			if mark == want {
				return true
			}
		}
		return false
	}
}

// adopted are the ids of the processes that are taken over.
func (d *daemon) adopted() map[uint64]bool {
	ids := map[uint64]bool{}
	if d.link != nil {
		for _, h := range d.link.held {
			ids[h.ID] = true
		}
	}
	return ids
}

// adopt gives the manager what is held.
func (d *daemon) adopt(ctx context.Context) error {
	if d.link == nil {
		return nil
	}
	d.link.client.Serve(holder.Handlers{
		Exit:   d.link.host.Ended,
		Gone:   d.orphaned,
		Stop:   d.askedToStop,
		Reload: d.askReload,
		Leave:  func() { d.leave("another manager takes over") },
		Alive:  d.answerAlive,
	})
	if d.logs != nil {
		d.logs.since = d.link.client.Welcome.Since
		defer func() { d.logs.since = time.Time{} }()
	}
	return d.manager.Adopt(ctx, d.link.held)
}

// orphaned: the holder has ended. Services live on, and so does this manager, until
// the next daemon takes over.
func (d *daemon) orphaned() {
	d.log.Error("the process that holds the services has ended; they go on, and are looked after here until the next daemon takes over",
		"holder", d.link.client.PID())
	d.link.host.ParentGone()
	d.state.Orphaned()
	close(d.link.gone)
}

func (d *daemon) askedToStop(times int, why string) {
	first := d.end(why)
	if times > 1 && !first {
		d.log.Warn("killing what has not stopped yet")
		d.manager.Kill()
	}
}

// leave begins the end of this manager alone.
func (d *daemon) leave(why string) {
	d.ending.Do(func() {
		d.log.Info("this manager ends, services go on", "reason", why)
		d.left.Store(true)
		d.manager.Leave()
		d.enough()
	})
}

// aliveTime is how long keepers may take to answer.
const aliveTime = 10 * time.Second

// answerAlive answers when the manager and each of its keepers do: at once where none has
// anything to do, which wakes nobody else up.
func (d *daemon) answerAlive(answer func()) {
	if d.manager.Check(expired) == nil {
		answer()
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), aliveTime)
		defer cancel()
		if d.manager.Check(ctx) == nil {
			answer()
		}
	}()
}

// expired is a context that has ended.
var expired = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// closeLink tells the holder how the daemon has ended, if it has.
func (d *daemon) closeLink(err error) {
	if d.link == nil {
		return
	}
	if d.ran && !d.left.Load() {
		status := exitOK
		if err != nil {
			status = exitError
		}
		d.link.client.Over(status)
	}
	d.link.client.Close()
}

func (d *daemon) tellReady() {
	if d.link != nil {
		d.link.client.Ready()
	}
}

// tellService has the holder tell the service manager.
func (d *daemon) tellService(lines string) { d.link.client.TellService(lines) }

// upgrade has another program take over from this manager.
func (d *daemon) upgrade(path string) error {
	if d.link == nil {
		return fmt.Errorf("upgrade: host = %q: services are this process's own, and would end with it: %w", config.HostDirect, gaffer.ErrConflict)
	}
	if !filepath.IsAbs(path) {
		return fmt.Errorf("upgrade: %s: not an absolute path: %w", path, gaffer.ErrInvalid)
	}
	f, err := config.OpenTrusted(path)
	if err != nil {
		return fmt.Errorf("upgrade: %w: %w", gaffer.ErrInvalid, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("upgrade: %w", err)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("upgrade: %s: not a program: %w", path, gaffer.ErrInvalid)
	}
	d.log.Info("upgrade", "binary", path)
	if err := d.link.client.Upgrade(path, f); err != nil {
		return fmt.Errorf("upgrade: %w: %w", err, gaffer.ErrConflict)
	}
	return nil
}

// upgraded is how the latest upgrade went.
func (d *daemon) upgraded() *api.Upgraded {
	if d.link == nil {
		return nil
	}
	u := d.link.client.Upgraded()
	if u == nil {
		return nil
	}
	return &api.Upgraded{Binary: u.Binary, Time: u.Time, Done: u.Done, Reason: u.Reason}
}

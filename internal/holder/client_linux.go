package holder

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer/internal/proc"
)

// window is how many starts may be on their way: enough to keep everybody busy.
const window = 32

// Client is the manager's end of the line to the holder. It is the Parent of a
// proc.HeldHost.
//
// mu guards what is below it; handlers is set once, by Serve.
type Client struct {
	line    *line
	Welcome Welcome
	// Restored is what the service manager had kept of processes that nobody holds.
	Restored []*proc.Held
	// Files are what managers before have had kept, by their names.
	Files    map[string]*os.File
	places   chan struct{} // holds a value for each start on its way
	handlers Handlers

	mu       sync.Mutex
	pending  map[uint64]func(pid, pidfd int, err error)
	order    []uint64 // of pending
	gone     bool
	upgraded *Upgraded    // the latest; nil: there was none
	upgrades []chan error // that were asked for and not answered
}

// Handlers are told what the holder says. They are called by one goroutine, one after
// the other.
type Handlers struct {
	Exit   func(id uint64, exit proc.Exit)
	Gone   func()                      // the holder has ended
	Stop   func(times int, why string) // everything is to be stopped
	Reload func()                      // the files are to be applied
	Leave  func()                      // this manager is to end, and touch no service
	Alive  func(answer func())         // answer is to be called if all is well
}

// Connect greets the holder at the other end of a descriptor, and returns what it holds.
func Connect(fd int) (c *Client, held []*proc.Held, err error) {
	l, err := newLine(fd)
	if err != nil {
		return nil, nil, fmt.Errorf("holder: %w", err)
	}
	c = &Client{line: l, Files: map[string]*os.File{}, places: make(chan struct{}, window), pending: map[uint64]func(int, int, error){}}
	l.send(&frame{kind: kindHello, body: []byte(Protocol)})
	held, err = c.listen()
	if err != nil {
		return nil, nil, fmt.Errorf("holder: %w", err)
	}
	nameProgram()
	return c, held, nil
}

// listen takes what the holder says first.
func (c *Client) listen() ([]*proc.Held, error) {
	var all []*proc.Held
	for {
		f, err := c.line.receive()
		if err != nil {
			return nil, err
		}
		switch f.kind {
		case kindWelcome:
			if err := json.Unmarshal(f.body, &c.Welcome); err != nil {
				return nil, err
			}
		case kindRefused:
			return nil, errors.New(string(f.body))
		case kindHeld, kindRestored:
			h, err := parseHeld(&f)
			if err != nil {
				return nil, err
			}
			if f.kind == kindRestored {
				c.Restored = append(c.Restored, h)
				continue
			}
			all = append(all, h)
		case kindFile:
			if len(f.fds) == 1 {
				c.Files[string(f.body)] = os.NewFile(uintptr(f.fds[0]), string(f.body))
			}
		case kindListed:
			return all, nil
		default:
			closeAll(f.fds)
		}
	}
}

func parseHeld(f *frame) (*proc.Held, error) {
	var text heldText
	if err := json.Unmarshal(f.body, &text); err != nil {
		return nil, err
	}
	h := &proc.Held{ID: f.id, PID: text.PID, PIDFD: -1, Exit: text.Exit, Reaped: text.Reaped}
	fds := f.fds
	if text.PIDFD && len(fds) > 0 {
		h.PIDFD, fds = fds[0], fds[1:]
	}
	if len(fds) != len(text.Keep) {
		return nil, errTorn
	}
	for i, stream := range text.Keep {
		h.Keep = append(h.Keep, proc.Kept{Stream: stream, FD: fds[i]})
	}
	return h, nil
}

// Serve begins to hear what the holder says.
func (c *Client) Serve(h Handlers) {
	c.handlers = h
	for range c.Welcome.Stops {
		h.Stop(c.Welcome.Stops, "the daemon was asked to")
	}
	go c.run()
}

func (c *Client) run() {
	for {
		f, err := c.line.receive()
		if err != nil {
			c.lost()
			return
		}
		c.heard(&f)
	}
}

func (c *Client) heard(f *frame) {
	switch f.kind {
	case kindStarted:
		fd := -1
		if len(f.fds) > 0 {
			fd = f.fds[0]
		}
		c.answered(f.id, int(f.number), fd, nil)
	case kindFailed:
		var fault proc.Fault
		if json.Unmarshal(f.body, &fault) != nil {
			fault.Text = string(f.body)
		}
		c.answered(f.id, 0, -1, fault.Err())
	case kindExit:
		var exit proc.Exit
		if json.Unmarshal(f.body, &exit) == nil {
			c.handlers.Exit(f.id, exit)
		}
	case kindPing:
		c.handlers.Alive(func() { c.say(&frame{kind: kindAlive}) })
	case kindStop:
		c.handlers.Stop(int(f.number), string(f.body))
	case kindReload:
		c.handlers.Reload()
	case kindLeave:
		c.handlers.Leave()
	case kindUpgraded:
		var u Upgraded
		if json.Unmarshal(f.body, &u) == nil {
			c.mu.Lock()
			c.upgraded = &u
			c.mu.Unlock()
		}
	case kindAccepted:
		c.answeredUpgrade(nil)
	case kindRefused:
		c.answeredUpgrade(errors.New(string(f.body)))
	default:
		closeAll(f.fds)
	}
}

// answered is what became of a start.
func (c *Client) answered(id uint64, pid, pidfd int, err error) {
	c.mu.Lock()
	done := c.pending[id]
	delete(c.pending, id)
	for i, other := range c.order {
		if other == id {
			c.order = append(c.order[:i], c.order[i+1:]...)
			break
		}
	}
	c.mu.Unlock()
	if done == nil {
		if pidfd >= 0 {
			_ = unix.Close(pidfd)
		}
		return
	}
	<-c.places
	done(pid, pidfd, err)
}

// lost: the holder has ended. What it was about to start may run: that it is looked
// for is the business of the next one.
func (c *Client) lost() {
	c.mu.Lock()
	closing := c.gone
	c.gone = true
	for _, answer := range c.upgrades {
		answer <- proc.ErrParentGone
	}
	c.upgrades = nil
	order, pending := c.order, c.pending
	c.order, c.pending = nil, map[uint64]func(int, int, error){}
	c.mu.Unlock()
	if !closing {
		c.handlers.Gone()
	}
	for _, id := range order {
		<-c.places
		pending[id](0, -1, proc.ErrParentGone)
	}
}

func (c *Client) say(f *frame) {
	f.epoch = c.Welcome.Epoch
	c.line.send(f)
}

// PID implements proc.Parent.
func (c *Client) PID() int { return c.Welcome.PID }

// Start implements proc.Parent.
func (c *Client) Start(o *proc.Order, done func(pid, pidfd int, err error)) {
	c.places <- struct{}{}
	f, err := startFrame(o)
	c.mu.Lock()
	if err == nil && c.gone {
		err = proc.ErrParentGone
	}
	if err != nil {
		c.mu.Unlock()
		<-c.places
		done(0, -1, err)
		return
	}
	c.pending[o.ID] = done
	c.order = append(c.order, o.ID)
	c.mu.Unlock()
	c.say(f)
}

func startFrame(o *proc.Order) (*frame, error) {
	f := &frame{kind: kindStart, id: o.ID}
	var text order
	for _, fd := range o.FDs {
		text.places = append(text.places, fd >= 0)
		if fd >= 0 {
			f.fds = append(f.fds, fd)
		}
	}
	for _, k := range o.Keep {
		text.keep = append(text.keep, k.Stream)
		f.fds = append(f.fds, k.FD)
	}
	if len(f.fds) > maxFDs || len(o.FDs) > maxFDs {
		return nil, fmt.Errorf("%d descriptors: more than %d", len(f.fds), maxFDs)
	}
	text.spec = proc.AppendSpec(nil, o.Spec)
	if len(text.spec) > maxBody-1024 {
		return nil, fmt.Errorf("arguments and environment: %w", unix.E2BIG)
	}
	f.number = int64(flag(o.Spec.Detach))
	f.body = text.append(nil)
	return f, nil
}

// Hold implements proc.Parent.
func (c *Client) Hold(id uint64, pid, pidfd int, keep []proc.Kept) {
	s := service{id: id, pid: pid, pidfd: pidfd, keep: keep}
	f := s.held(c.Welcome.Epoch)
	f.kind = kindHold
	c.say(f)
}

// Reap implements proc.Parent.
func (c *Client) Reap(id uint64) { c.say(&frame{kind: kindReap, id: id}) }

// Forget implements proc.Parent.
func (c *Client) Forget(id uint64) { c.say(&frame{kind: kindForget, id: id}) }

// KeepSocket has the holder keep a listening socket, which it passes to the next manager
// as a service manager does. The name begins with SocketPrefix or ServiceSocketPrefix.
func (c *Client) KeepSocket(name string, socket syscall.Conn) error {
	return c.pass(kindSocket, name, socket)
}

// KeepFile has it keep a file, and what is locked by it, until the daemon ends: the next
// manager finds it among its Files.
func (c *Client) KeepFile(name string, file *os.File) error { return c.pass(kindFile, name, file) }

// pass says something that a descriptor belongs to.
func (c *Client) pass(what kind, text string, file syscall.Conn) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Control(func(fd uintptr) {
		c.say(&frame{kind: what, body: []byte(text), fds: []int{int(fd)}})
	})
}

// DropSockets has it give up those that were kept whose names begin like that.
func (c *Client) DropSockets(prefix string) { c.say(&frame{kind: kindSockets, body: []byte(prefix)}) }

// LogTo has it write its log where this program writes its own, in a way that the holder's
// Options know.
func (c *Client) LogTo(log *os.File, way string) error { return c.pass(kindLog, way, log) }

// TellService has the holder tell the service manager that has started it.
func (c *Client) TellService(lines string) { c.tell(tellService, lines) }

// TellStarter has it tell whoever waits for the daemon.
func (c *Client) TellStarter(line string) { c.tell(tellStarter, line) }

// Ready says that this manager does all that it has to.
func (c *Client) Ready() { c.tell(tellReady, "") }

func (c *Client) tell(who byte, text string) {
	c.say(&frame{kind: kindTell, body: append([]byte{who}, text...)})
}

// Over says that all is stopped and that the daemon ends, with that exit status, when
// this program does. What it keeps is given free then.
func (c *Client) Over(status int) { c.say(&frame{kind: kindOver, number: int64(status)}) }

// Upgrade has another program be the manager, if it can: this one is told to leave then.
// The error says why the holder does not begin with it.
func (c *Client) Upgrade(path string, binary *os.File) error {
	conn, err := binary.SyscallConn()
	if err != nil {
		return err
	}
	answer := make(chan error, 1)
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return proc.ErrParentGone
	}
	c.upgrades = append(c.upgrades, answer)
	err = conn.Control(func(fd uintptr) { // answers come in the order of the questions
		c.say(&frame{kind: kindUpgrade, body: []byte(path), fds: []int{int(fd)}})
	})
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return <-answer
}

// answeredUpgrade is what the holder says to the oldest question.
func (c *Client) answeredUpgrade(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.upgrades) > 0 {
		c.upgrades[0] <- err
		c.upgrades = c.upgrades[1:]
	}
}

// Upgraded is how the latest upgrade went, nil if there was none.
func (c *Client) Upgraded() *Upgraded {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.upgraded != nil {
		return c.upgraded
	}
	return c.Welcome.Upgrade
}

// Close waits until what was said is on its way, and ends the line.
func (c *Client) Close() {
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	c.line.flush()
	c.line.close()
}

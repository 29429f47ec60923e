package gaffer

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/gafferpm/gaffer/internal/proc"
)

// SocketStore keeps listening sockets beyond the manager's end. Its methods are called
// by one goroutine at a time.
type SocketStore interface {
	// Kept is what was kept for an address, nil if nothing was. It is the caller's.
	Kept(address string) *os.File
	// Keep keeps a copy.
	Keep(address string, socket *os.File) error
	// Drop gives it up.
	Drop(address string)
	// Settled is called once when all that is needed of what an earlier manager had kept
	// was asked for: the rest is nobody's.
	Settled()
}

// sockets are the listening sockets that are open for templates, by their addresses.
// Those who use them are keepers, and for a moment recipes that are tried.
//
// Only the manager's launcher closes any, so that what it is about to pass on is open.
type sockets struct {
	store SocketStore // nil: they end with the manager

	mu   sync.Mutex // guards the rest
	open map[string]*listener
	left bool // the next manager has them: files stay
}

type listener struct {
	listen *proc.Listen
	file   *os.File
	id     proc.FileID
	users  map[any]bool
}

// acquire is the sockets of a list, opened if need be, for somebody who uses them from
// now on. The error names the field; then he uses those before it.
func (s *sockets) acquire(user any, list []Socket) ([]*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := make([]*os.File, 0, len(list))
	for i := range list {
		if f := list[i].File; f != nil {
			files = append(files, f)
			continue
		}
		l, err := s.use(user, &list[i])
		if err != nil {
			why := invalidf
			if errors.Is(err, syscall.EADDRINUSE) {
				why = conflictf
			}
			return nil, &FieldError{"sockets", why("%s: %s: %v", list[i].Name, list[i].Listen, err)}
		}
		files = append(files, l.file)
	}
	return files, nil
}

// use is the socket of one, for somebody.
func (s *sockets) use(user any, socket *Socket) (*listener, error) {
	want, err := socket.listen()
	if err != nil {
		return nil, err
	}
	address := socket.address()
	l := s.open[address]
	_, tried := user.(*recipe)
	switch {
	case l == nil:
		if l, err = s.begin(address, want); err != nil {
			return nil, err
		}
	case !tried && !sameListen(l.listen, want): // the latest one to say who may connect is right
		if err := want.Apply(l.file); err != nil {
			return nil, err
		}
		l.listen = want
	}
	l.users[user] = true
	return l, nil
}

// sameListen says whether two sockets at one address are the same in all else.
func sameListen(a, b *proc.Listen) bool {
	return a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.Backlog == b.Backlog
}

// begin opens a socket, or goes on with the one that was kept.
func (s *sockets) begin(address string, want *proc.Listen) (*listener, error) {
	if f := s.kept(address, want); f != nil {
		return s.add(address, want, f), nil
	}
	f, err := want.Open()
	if errors.Is(err, syscall.EADDRINUSE) && want.Port() != "" {
		// Of 127.0.0.1:80 and :80 the one may take the place of the other.
		beside := *want
		for _, l := range s.open {
			if l.listen.Port() == want.Port() {
				beside.Beside = append(beside.Beside, l.file)
			}
		}
		if len(beside.Beside) > 0 {
			f, err = beside.Open()
		}
	}
	if err != nil {
		return nil, err
	}
	l := s.add(address, want, f)
	return l, s.keep(address, l)
}

// kept is the socket that was kept for an address, nil if there is none that is of use.
func (s *sockets) kept(address string, want *proc.Listen) *os.File {
	if s.store == nil {
		return nil
	}
	f := s.store.Kept(address)
	if f == nil {
		return nil
	}
	if want.Is(f) && (want.Path() == "" || want.ID() != proc.FileID{}) && want.Apply(f) == nil {
		return f
	}
	s.store.Drop(address)
	_ = f.Close()
	return nil
}

func (s *sockets) add(address string, want *proc.Listen, f *os.File) *listener {
	l := &listener{listen: want, file: f, id: want.ID(), users: map[any]bool{}}
	if s.open == nil {
		s.open = map[string]*listener{}
	}
	s.open[address] = l
	return l
}

// keep has a socket kept that was just opened.
func (s *sockets) keep(address string, l *listener) error {
	if s.store == nil {
		return nil
	}
	if err := s.store.Keep(address, l.file); err != nil {
		s.end(address, l)
		return err
	}
	return nil
}

// recall takes those sockets of a list that are not there from a process that has been
// passed them by an earlier manager, of which nothing is left.
func (s *sockets) recall(list []Socket, from *proc.Borrowed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range list {
		address := list[i].address()
		want, err := list[i].listen()
		if err != nil || list[i].File != nil || s.open[address] != nil {
			continue
		}
		if f := s.kept(address, want); f != nil {
			s.add(address, want, f)
		} else if f := from.Socket(want); f != nil {
			_ = s.keep(address, s.add(address, want, f))
		}
	}
}

// restrict leaves somebody the sockets of a list alone. What nobody uses is closed.
// What is not open is opened if it can be, so that who connects waits.
func (s *sockets) restrict(user any, list []Socket) {
	_, _ = s.acquire(user, list) // what can't be, the start says
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, l := range s.open {
		if l.users[user] && !slices.ContainsFunc(list, func(o Socket) bool { return o.address() == address }) {
			delete(l.users, user)
			s.unused(address, l)
		}
	}
}

func (s *sockets) unused(address string, l *listener) {
	if len(l.users) == 0 {
		s.end(address, l)
	}
}

// end closes a socket.
func (s *sockets) end(address string, l *listener) {
	delete(s.open, address)
	_ = l.file.Close()
	if s.left {
		return
	}
	l.listen.Remove(l.id)
	if s.store != nil {
		s.store.Drop(address)
	}
}

// settle closes what was recalled and nobody uses.
func (s *sockets) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, l := range s.open {
		s.unused(address, l)
	}
	if s.store != nil {
		s.store.Settled()
	}
}

// close closes all of them. With leave they go on with the next manager.
func (s *sockets) close(leave bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = leave
	for address, l := range s.open {
		s.end(address, l)
	}
}

// The manager's and the keepers' side.

// tryToListen opens what a recipe is to listen at now, so that what can't be is refused.
// It is to be given up by untry, when the keeper has it.
func (m *Manager) tryToListen(r *recipe, now bool) (untry func(), err error) {
	if len(r.Sockets) == 0 || !now {
		return func() {}, nil
	}
	untry = func() { m.launcher.post(func() { m.sockets.restrict(r, nil) }) }
	if _, err := m.sockets.acquire(r, r.Sockets); err != nil {
		untry()
		return nil, named(r.Name, err)
	}
	return untry, nil
}

// listens asks whether the template has its sockets open.
func (k *keeper) listens() (does bool) {
	// Nothing ends the waiting, which a keeper keeps short.
	_ = k.box.do(context.Background(), func() { does = k.intent == up && !k.removing })
	return does
}

// listen has the sockets open that the template needs, and those closed that it does not
// need any more: it needs its own while it is wanted, and those of what still runs. One
// that is started on demand and scaled to 0 would have whoever connects wait for nobody.
func (k *keeper) listen() {
	if len(k.recipe.Sockets) == 0 && len(k.listening) == 0 {
		return
	}
	if k.intent == fresh {
		return // an earlier manager's sockets are there until it is clear what is wanted
	}
	var need []Socket
	if k.intent == up && !k.removing && !(k.recipe.OnDemand && k.count == 0) {
		need = slices.Clone(k.recipe.Sockets)
	}
	for _, s := range k.slots {
		for _, p := range s.processes() {
			for _, socket := range p.recipe.Sockets {
				if !slices.ContainsFunc(need, func(o Socket) bool { return o.File == socket.File && o.address() == socket.address() }) {
					need = append(need, socket)
				}
			}
		}
	}
	if slices.Equal(need, k.listening) {
		return
	}
	k.listening = need
	k.binding++
	k.m.launcher.post(func() {
		k.m.sockets.restrict(k, need)
		k.box.hand(func() { k.binding-- })
	})
}

// recallSockets has the sockets of a process that was adopted.
func (k *keeper) recallSockets(r *recipe, h *proc.Held) {
	if len(r.Sockets) == 0 {
		return
	}
	if from := h.Borrow(); from != nil {
		k.m.launcher.post(func() {
			defer from.Return()
			k.m.sockets.recall(r.Sockets, from)
		})
	}
}

// withSockets adds what a process is told of the sockets that it is passed.
func (r *recipe) withSockets(spec *proc.Spec, files []*os.File) {
	if len(files) == 0 {
		return
	}
	spec.Files = append(files, spec.Files...)
	spec.OwnPID = listenPID
	spec.Env = slices.DeleteFunc(spec.Env, func(entry string) bool { return strings.HasPrefix(entry, "LISTEN_PID=") })
}

// socketNames are for LISTEN_FDNAMES.
func (r *recipe) socketNames() (names []string) {
	for _, s := range r.Sockets {
		names = append(names, s.Name)
	}
	return names
}

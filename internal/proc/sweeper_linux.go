package proc

import (
	"bytes"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// sweeper looks for what ended processes have left behind and kills it, on a
// goroutine that lives while there is something to look for. One look at the
// system serves everything that has ended meanwhile.
//
// mu guards what is below it.
type sweeper struct {
	tree  *tree
	token string // the Options'
	alone bool

	mu      sync.Mutex
	queue   []*ending
	burying bool // orphans have ended
	running bool
	idle    sync.WaitGroup
}

// add has the sweeper look for e's survivors. The answer comes to e.swept, from
// the poller.
func (s *sweeper) add(e *ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, e)
	s.wakeLocked()
}

// bury has it wait for orphans that have ended.
func (s *sweeper) bury() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.burying = true
	s.wakeLocked()
}

func (s *sweeper) wakeLocked() {
	if s.running {
		return
	}
	s.running = true
	s.idle.Go(s.run)
}

// wait returns when nothing is being looked for.
func (s *sweeper) wait() { s.idle.Wait() }

func (s *sweeper) run() {
	for {
		s.mu.Lock()
		endings := s.queue
		s.queue, s.running = nil, len(endings) > 0 || s.burying
		s.burying = false
		running := s.running
		s.mu.Unlock()
		if !running {
			return
		}
		s.sweep(endings)
	}
}

// sweep finds and kills the survivors of all endings.
func (s *sweeper) sweep(endings []*ending) {
	var hidden []*ending // those that have no cgroup to look into
	for _, e := range endings {
		e.found = e.found[:0]
		if l := e.child.leaf; l != nil {
			for _, k := range l.kins(0) {
				e.add(k)
			}
			for _, d := range e.known { // killed, but perhaps not gone yet
				if d.alive() {
					e.add(d.kin)
				}
			}
			e.emptied = l.empty()
			continue
		}
		hidden = append(hidden, e)
	}
	if len(hidden) > 0 || s.tree.adopting {
		s.search(hidden)
	}
	for _, e := range endings {
		e.strike()
	}
	for _, e := range hidden {
		// Whoever is left in the group and can't be seen.
		_ = signalGroup(int(e.child.pidfd), unix.SIGKILL)
	}
	s.tree.poller.post(func() {
		for _, e := range endings {
			e.swept()
		}
	})
}

// search looks through all orphans for those that belong to an ending.
func (s *sweeper) search(endings []*ending) {
	var f families
	if !s.tree.lists {
		f = readFamilies()
	}
	m := s.newMatcher(endings)
	for _, pid := range s.orphans(f) {
		if s.tree.lives(pid) {
			continue
		}
		k, ok := readKin(pid)
		if !ok {
			continue
		}
		if k.dead {
			m.bury(k)
			continue
		}
		if e := m.match(k); e != nil {
			e.add(k)
			f.descendants(pid, e.add)
		}
	}
	for _, e := range endings {
		e.unsure = m.unsure[e]
	}
	for _, e := range endings {
		for _, d := range e.known {
			if d.alive() {
				e.add(d.kin)
				f.descendants(d.pid, e.add)
			}
		}
	}
}

// orphans are the processes among which everything is that lost its parent.
func (s *sweeper) orphans(f families) []int {
	if s.tree.adopting {
		return f.adopted(os.Getpid())
	}
	var all []int
	if s.tree.parent != 0 { // it may be gone, and above us no more
		all = f.adopted(s.tree.parent)
	}
	for _, pid := range ancestors() {
		all = append(all, f.adopted(pid)...)
	}
	return all
}

// matcher tells to whom an orphan belongs.
type matcher struct {
	sweeper  *sweeper
	endings  []*ending
	sessions map[int]*ending // by the number of the session, which is that of the group
	tokens   map[string]*ending
	unsure   map[*ending]bool
	session  int // this program's own
}

func (s *sweeper) newMatcher(endings []*ending) *matcher {
	m := &matcher{sweeper: s, endings: endings, sessions: map[int]*ending{}, tokens: map[string]*ending{}, unsure: map[*ending]bool{}}
	m.session, _ = unix.Getsid(0)
	for _, e := range endings {
		// While members are left, the number of a session is nobody's pid but its
		// leader's: if there is such a process, it is another session by now.
		// One that its parent holds is not buried yet.
		if k, there := readKin(e.child.PID()); !there || k.start == e.child.birth {
			m.sessions[e.child.PID()] = e
		}
		if e.child.token != "" {
			m.tokens[e.child.token] = e
		}
	}
	return m
}

func (m *matcher) match(k kin) *ending {
	if e := m.sessions[k.session]; e != nil {
		return e
	}
	if len(m.tokens) == 0 || k.session == m.session {
		return nil
	}
	var e *ending
	ours, empty := m.sweeper.token == "", true
	eachVariable(k.pid, func(entry []byte) bool {
		empty = false
		ours = ours || string(entry) == m.sweeper.token
		if e == nil {
			e = m.owner(entry)
		}
		return !ours || e == nil
	})
	if empty {
		m.noteUnsure(k)
	}
	if !ours {
		return nil
	}
	return e
}

// owner is whose token an entry of an environment is, alone or with a slash and
// more behind it, as a process manager below ours may have made of it.
func (m *matcher) owner(entry []byte) *ending {
	for {
		if e := m.tokens[string(entry)]; e != nil {
			return e
		}
		slash := bytes.LastIndexByte(entry, '/')
		if slash < 0 {
			return nil
		}
		entry = entry[:slash]
	}
}

// noteUnsure has everybody look again whose descendant k could be: while a
// process executes another program, it has no environment.
func (m *matcher) noteUnsure(k kin) {
	for _, e := range m.tokens {
		if k.startedSince(e.child.started) {
			m.unsure[e] = true
		}
	}
}

// bury waits for an orphan that has ended.
func (m *matcher) bury(k kin) {
	if !m.sweeper.tree.adopting || !m.orphan(k) {
		return
	}
	for {
		err := unix.Waitid(unix.P_PID, k.pid, nil, unix.WEXITED|unix.WNOHANG, nil)
		if err != unix.EINTR {
			return
		}
	}
}

// orphan says whether a dead child certainly came to this program as an orphan:
// it may have others, that have nothing to do with us and that somebody waits
// for. Those are in this program's session, or lead their own; what our processes
// have started is never in this program's session.
func (m *matcher) orphan(k kin) bool {
	if m.sweeper.alone || k.session != m.session && k.session != k.pid {
		return true
	}
	if c := m.sweeper.tree.cgroups; c != nil && c.holds(k.pid) {
		return true
	}
	for _, e := range m.endings {
		if start, ok := e.killed[k.pid]; ok && start == k.start {
			return true
		}
	}
	return false
}

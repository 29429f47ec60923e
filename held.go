package gaffer

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// Holder is a host whose processes outlive the manager: the daemon's.
type Holder interface {
	host
	// Adopt takes over a process that was started for an earlier manager.
	Adopt(held *proc.Held, captures []proc.Capture, handler proc.Handler)
	// Note replaces what is kept of a process for the next manager.
	Note(id uint64, note []byte)
	// Kept says that the end of a process is in the journal.
	Kept(id uint64)
}

// note is what the next manager has to know of a process that it finds.
type note struct {
	Name    string    `json:"name"`
	Slot    int       `json:"slot"`
	Started time.Time `json:"started"`
	// Template is as it was written: which of its fields have which defaults is
	// another manager's business.
	Template Template `json:"template"`
	EnvSum   string   `json:"env_sum,omitempty"` // of what was in its env_files
	// Why and Leave are of one that was told to stop.
	Why   string  `json:"why,omitempty"`
	Leave Kind    `json:"leave,omitempty"`
	Fault failing `json:"fault,omitempty"`
	Told  bool    `json:"told,omitempty"` // its pre_stop hook is over
}

// note is what is kept of a process. It runs in the keeper's mailbox.
func (p *process) note() []byte {
	started := p.since
	if p.os != nil {
		started = p.os.Started()
	}
	n := note{
		Name: p.recipe.Name, Slot: p.slot, Started: started, Template: p.recipe.Template,
		Why: p.why, Leave: p.leave, Fault: p.fault, Told: p.told, EnvSum: p.recipe.envSum,
	}
	text, err := json.Marshal(n)
	if err != nil { // a template can always be written
		return nil
	}
	return text
}

// noteOf is the note of a process that is about to be started, if one is kept.
func (k *keeper) noteOf(p *process) []byte {
	if k.m.opts.Holder == nil {
		return nil
	}
	return p.note()
}

// Adopt gives a manager that does not run yet, and has been given its templates, the
// processes that an earlier one has left to its Holder. They go on as what they are:
// of a template that is wanted no more, or in a slot too many, they are stopped when
// Run begins; of one that was changed since, they are replaced.
func (m *Manager) Adopt(ctx context.Context, held []*proc.Held) error {
	for _, h := range held {
		m.ids.Store(max(m.ids.Load(), h.ID)) // the journal may not know of it
		if err := m.adopt(ctx, h); err != nil {
			return fmt.Errorf("process %d: %w", h.PID, err)
		}
	}
	return nil
}

// doubt tells of a start of which nobody knows whether it was made.
func (m *Manager) doubt(h *proc.Held) {
	h.Release()
	var n note
	if json.Unmarshal(h.Note, &n) == nil {
		m.publish(Event{
			Kind: KindGap, Name: n.Name, Group: groupOf(n.Name), ID: h.ID, Slot: n.Slot,
			Message: "it was about to be started when gaffer ended; if it was, it has ended, too, and what it wrote is lost",
		})
	}
	m.opts.Holder.Kept(h.ID)
}

func (m *Manager) adopt(ctx context.Context, h *proc.Held) error {
	var n note
	if h.Doubtful {
		m.doubt(h)
		return nil
	}
	if h.Note == nil || json.Unmarshal(h.Note, &n) != nil || n.Slot < 1 || n.Slot > MaxProcesses {
		m.logger.Warn("a process that nobody knows is ended", "pid", h.PID, "id", h.ID)
		m.opts.Holder.Adopt(h, nil, &stranger{m: m, id: h.ID})
		return nil
	}
	h.Started, h.Grouped = n.Started, len(n.Template.Limits.grouped()) > 0
	m.mu.Lock()
	k := m.keepers[n.Name]
	m.mu.Unlock()
	r, err := looseRecipe(n.Template, m.env)
	if err != nil {
		return m.adoptAsIs(ctx, k, &n, h, err)
	}
	if n.EnvSum != "" {
		r.envSum = n.EnvSum
	}
	h.Token = markName + "=" + r.mark(h.ID)
	if k == nil { // it was being removed
		if k, _, err = m.register(r); err != nil {
			return err
		}
		defer k.box.post(func() { k.remove() })
	}
	return k.box.do(ctx, func() { k.adopt(&n, r, h) })
}

// adoptAsIs adopts a process whose template is of no use any more: it goes on as
// one of its keeper's, if that has the same command, and is replaced otherwise; without
// a keeper it is ended.
func (m *Manager) adoptAsIs(ctx context.Context, k *keeper, n *note, h *proc.Held, fault error) error {
	m.logger.Warn("a process runs by a template that can't be used any more", "template", n.Name, "pid", h.PID, "reason", fault)
	if k == nil {
		m.opts.Holder.Adopt(h, nil, &stranger{m: m, id: h.ID})
		return nil
	}
	return k.box.do(ctx, func() {
		r := *k.recipe
		r.Cmd = n.Template.Cmd
		r.Args = n.Template.Args
		h.Token = markName + "=" + r.mark(h.ID)
		k.adopt(n, &r, h)
	})
}

// adopt takes over a process of the template.
func (k *keeper) adopt(n *note, r *recipe, h *proc.Held) {
	holder := k.m.opts.Holder
	p := &process{k: k, recipe: r, id: h.ID, slot: n.Slot, state: Running, since: n.Started}
	p.log.Source, p.log.Limit = p, k.m.opts.TailBytes
	s := k.slotUpTo(n.Slot)
	before := k.before(n.Slot)
	h.Spare = r.KillMode == KillProcess
	h.Notify, p.readyAt = r.notifies(), before.ready(h.ID)
	p.readied = !p.readyAt.IsZero()
	if h.Reaped || before.ended(h.ID) { // only its output may go on
		exit := before.exit(h.ID)
		resumes := !h.Reaped && k.resumeEnd(s, p, exit)
		h.Reaped = true
		holder.Adopt(h, p.captures(), adopted{p})
		if !resumes {
			holder.Kept(h.ID)
		}
		return
	}
	if s.current != nil && s.old != nil {
		holder.Adopt(h, nil, &stranger{m: k.m, id: h.ID})
		return
	}
	k.take(s, p)
	k.recallSockets(r, h)
	if h.Exit != nil && h.Exit.Lost && h.PIDFD < 0 {
		defer k.publishOf(p, KindGap, "it ended while nothing of gaffer ran: how is not known, and what it wrote last is lost")
	}
	k.m.attachFollowers(p)
	holder.Adopt(h, p.captures(), adopted{p})
	if !before.began(p) { // nobody has come to say so
		if s.crashed {
			s.restarts++
		}
		s.crashed, s.retryAt, s.reason = false, time.Time{}, ""
		k.publishIn(s, p, Event{Kind: KindSpawn, Failures: s.crashes})
	}
	p.bare = p.lostTerminal(h)
	if n.Why != "" {
		p.why, p.leave, p.fault, p.told = n.Why, n.Leave, n.Fault, n.Told
		k.urge(p)
		return
	}
	k.began(p)
}

// slotUpTo is a slot, made if need be with those before it.
func (k *keeper) slotUpTo(n int) *slot {
	for len(k.slots) < n {
		k.slots = append(k.slots, &slot{n: len(k.slots) + 1, since: time.Now()})
		k.gaps++
	}
	k.cut = max(k.cut, n)
	return k.slots[n-1]
}

// take puts a process that runs into a slot; of two the younger one replaces the other.
func (k *keeper) take(s *slot, p *process) {
	k.live++
	switch {
	case s.current == nil:
		s.current = p
		k.gaps--
	case s.current.id < p.id:
		s.current, s.old = p, s.current
	default:
		s.old = p
	}
}

// carryOn makes the template wanted as it was before: what runs goes on, what waits
// does so, and what was changed since is replaced.
func (k *keeper) carryOn() outcome {
	if k.intent != fresh {
		return outcome{}
	}
	if !k.wanted {
		k.intent, k.why = down, "stopped"
		return outcome{}
	}
	k.intent = up
	k.gate.passed = k.live > 0
	if k.gaveUp != "" {
		k.intent, k.why, k.reason = failed, "failed", k.gaveUp
	}
	var good *recipe
	k.settleDown()
	for _, s := range k.slots {
		for _, p := range s.processes() {
			switch {
			case !p.recipe.replaces(k.recipe):
			case k.recipe.Rollout != nil:
				good = p.recipe
			default:
				k.leave(p, KindReap, "updated")
			}
			if p.bare {
				k.leave(p, KindReap, "its terminal was lost with the daemon before")
			}
		}
	}
	if k.recipe.Rollout == nil {
		k.leaveReplaced()
	}
	k.resumeRollout(good)
	return outcome{until: k.settled, tried: k.tried}
}

// leaveReplaced tells old processes to stop whose new one is there. Others are told when
// theirs is ready.
func (k *keeper) leaveReplaced() {
	for _, s := range k.slots {
		if s.old != nil && (s.current == nil || s.current.ready) {
			k.leave(s.old, KindReap, "restarted")
		}
	}
}

// kept tells the holder that the end of a process is in the journal.
func (m *Manager) kept(id uint64) {
	if h := m.opts.Holder; h != nil {
		m.events.after(func() { h.Kept(id) })
	}
}

var _ proc.Notified = adopted{}

// adopted is the handler of a process that runs already.
type adopted struct{ p *process }

func (a adopted) Started(os proc.Process)        { a.p.os = os }
func (a adopted) Output(stream int, data []byte) { a.p.Output(stream, data) }
func (a adopted) Notified(m proc.Message)        { a.p.Notified(m) }
func (a adopted) Exited(e proc.Exit)             { a.p.Exited(e) }

// stranger is the handler of a process that nobody knows anything of: it is ended.
type stranger struct {
	m  *Manager
	id uint64
}

func (s *stranger) Started(p proc.Process) { go p.Kill() }
func (s *stranger) Output(int, []byte)     {}
func (s *stranger) Exited(proc.Exit)       { s.m.opts.Holder.Kept(s.id) }

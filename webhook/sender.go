package webhook

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

// Limits of one hook.
const (
	// parallel is how many posts are in flight at a time.
	parallel = 4
	// maxPending is how many events wait to be posted. Beyond, they wait in the
	// journal; what it gives up until they are read is told as missed.
	maxPending = 1000
	// maxDead is how many dead letters are kept. Beyond, the oldest is forgotten.
	maxDead = 1000
	// saveAgain is how long after a save that went wrong the next one is tried.
	saveAgain = time.Second
	// farBehind is how many unwanted events are looked through before that is saved.
	farBehind = 1000
)

// sender brings events to one hook: those of one template in their order, those of
// several beside each other. A reader fills it, run posts, and anybody may ask it.
type sender struct {
	queue  Queue
	logger *slog.Logger
	agent  string
	wake   chan struct{} // holds one: run has something to look at
	room   chan struct{} // holds one: the reader may go on
	posts  sync.WaitGroup

	mu        sync.Mutex // guards the rest
	hook      Hook
	client    *http.Client
	transport *http.Transport // nil: a test's
	cursor    uint64          // the journal has been looked through up to here
	begun     bool            // there is a cursor
	saved     uint64          // the cursor that is kept, if one is
	marked    bool            // one is
	lanes     map[string]*lane
	pending   int
	dead      []*letter // the oldest first
	flying    int       // posts in flight
	notBefore time.Time // the receiver asked for a pause until then
	disabled  bool      // the receiver is gone
	draining  bool      // run ends when there is nothing left that can be posted now
	delivered uint64
	failed    uint64 // attempts
	missed    uint64
	lastError string
	lastTime  time.Time
	dirty     map[string][]byte // what is not kept yet
	saveAt    time.Time         // not before then
	unsaved   bool              // the last save went wrong
}

// lane is what waits of one template. Its first letter is posted, or waits for its
// next attempt; the others wait for that one.
type lane struct {
	letters []*letter
	flying  bool
	next    time.Time // of the next attempt
}

func newSender(h Hook, queue Queue, opts *Options, transport http.RoundTripper) *sender {
	s := &sender{
		queue: queue, agent: opts.userAgent(), logger: opts.Logger.With("webhook", h.Name),
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		lanes: map[string]*lane{}, dirty: map[string][]byte{},
	}
	s.configure(h, transport)
	return s
}

// configure takes on new settings. A receiver that was gone gets another chance.
func (s *sender) configure(h Hook, transport http.RoundTripper) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
	s.hook, s.disabled, s.notBefore = h, false, time.Time{}
	s.transport = nil
	if transport == nil {
		s.transport = newTransport(&h)
		transport = s.transport
	}
	s.client = &http.Client{Transport: transport, CheckRedirect: sameHost}
	for _, q := range s.lanes {
		q.next = time.Time{}
	}
	poke(s.wake)
}

// poke puts a note into a channel that holds one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// restore takes over what was kept.
func (s *sender) restore(c *cursor, letters []*letter) {
	if c != nil {
		s.cursor, s.begun = c.Seq, true
		s.saved, s.marked = c.Seq, true
	}
	slices.SortFunc(letters, func(a, b *letter) int { return cmp.Compare(a.seq, b.seq) })
	for _, l := range letters {
		if l.Dead.IsZero() {
			s.enqueue(l)
		} else {
			s.dead = append(s.dead, l)
		}
	}
}

// enqueue adds a letter to its lane, in the order of numbers.
func (s *sender) enqueue(l *letter) {
	q := s.lanes[l.name]
	if q == nil {
		q = &lane{}
		s.lanes[l.name] = q
	}
	i, _ := slices.BinarySearchFunc(q.letters, l.seq, func(o *letter, seq uint64) int { return cmp.Compare(o.seq, seq) })
	switch {
	case i == 0 && q.flying:
		i = 1 // what is under way stays first
	case i == 0:
		q.next = time.Time{}
	}
	q.letters = slices.Insert(q.letters, i, l)
	s.pending++
}

// take adds events that were read, and says whether there is room for more.
func (s *sender) take(events []gaffer.Event) (room bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, old := time.Now(), uint64(0)
	for i := range events {
		e := &events[i]
		if s.begun && e.Seq <= s.cursor {
			continue
		}
		s.cursor, s.begun = e.Seq, true
		switch {
		case !s.hook.wants(e):
		case now.Sub(e.Time) > s.hook.MaxAge:
			old++
		default:
			l := newLetter(e, now)
			s.enqueue(l)
			s.keep(l)
		}
	}
	if old > 0 {
		s.lose(old, "they are older than max_age")
	}
	if len(events) > 0 {
		poke(s.wake)
	}
	return s.pending < maxPending
}

// lose counts events that will not be posted.
func (s *sender) lose(n uint64, why string) {
	s.missed += n
	s.logger.Warn("events are not posted", "events", n, "reason", why)
}

// keep notes that a letter is to be kept as it is now.
func (s *sender) keep(l *letter) { s.dirty[l.key(s.hook.Name)] = encode(l) }

func (s *sender) forget(l *letter) { s.dirty[l.key(s.hook.Name)] = nil }

// run posts until the sender has drained, or ctx ends. What is in flight then is
// put back.
func (s *sender) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next, done := s.turn(ctx)
		if done || ctx.Err() != nil {
			break
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
	}
	s.posts.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.save(time.Now(), true)
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
}

// turn starts the posts that can be started, keeps what has changed, and says when
// there is more to do.
func (s *sender) turn(ctx context.Context) (next time.Duration, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.save(now, false)
	at := s.dispatch(ctx, now)
	if len(s.dirty) > 0 {
		at = earlier(at, s.saveAt)
	}
	if s.pending < maxPending {
		poke(s.room)
	}
	next = time.Hour
	if !at.IsZero() {
		next = at.Sub(now)
	}
	return next, s.draining && s.flying == 0
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// dispatch starts posts, the oldest events first, and says when the next lane that
// waits is due; zero: none is.
func (s *sender) dispatch(ctx context.Context, now time.Time) (due time.Time) {
	if s.disabled || ctx.Err() != nil {
		return due
	}
	if s.notBefore.After(now) {
		return s.notBefore
	}
	var ready []*lane
	for _, q := range s.lanes {
		switch {
		case q.flying:
		case s.draining && !q.next.IsZero(): // has failed: not at once
		case q.next.After(now):
			due = earlier(due, q.next)
		default:
			ready = append(ready, q)
		}
	}
	slices.SortFunc(ready, func(a, b *lane) int { return cmp.Compare(a.letters[0].seq, b.letters[0].seq) })
	for _, q := range ready {
		if s.flying == parallel {
			break // the end of a post wakes
		}
		s.send(ctx, q)
	}
	return due
}

// send posts the first letter of a lane.
func (s *sender) send(ctx context.Context, q *lane) {
	hook, client, l := s.hook, s.client, q.letters[0]
	q.flying = true
	s.flying++
	s.posts.Go(func() {
		o := post(ctx, client, &hook, s.agent, l)
		s.mu.Lock()
		defer s.mu.Unlock()
		q.flying = false
		s.flying--
		if o.err == nil || ctx.Err() == nil {
			s.posted(q, l, o, time.Now())
		}
		poke(s.wake)
	})
}

// posted notes what became of the first letter of a lane.
func (s *sender) posted(q *lane, l *letter, o outcome, now time.Time) {
	if o.err == nil {
		s.delivered++
		s.leave(q)
		s.forget(l)
		return
	}
	s.failed++
	l.Attempts++
	l.Error = o.err.Error()
	s.lastError, s.lastTime = l.Error, now
	if o.retryAfter > 0 {
		s.notBefore = now.Add(o.retryAfter)
	}
	switch {
	case o.gone:
		s.disabled = true
		s.logger.Warn("the receiver is gone: nothing is posted until the configuration is read again")
	case l.Attempts >= s.hook.MaxAttempts || now.Sub(l.Since) >= s.hook.MaxAge:
		s.leave(q)
		s.bury(l, now)
		return
	}
	q.next = now.Add(delay(l.Attempts))
	s.logger.Debug("event is not taken", "seq", l.seq, "attempts", l.Attempts, "error", l.Error)
	s.keep(l)
}

// leave takes the first letter out of its lane.
func (s *sender) leave(q *lane) {
	l := q.letters[0]
	q.letters = q.letters[1:]
	q.next = time.Time{}
	s.pending--
	if len(q.letters) == 0 {
		delete(s.lanes, l.name)
	}
}

// bury makes a letter a dead one.
func (s *sender) bury(l *letter, now time.Time) {
	l.Dead = now
	s.logger.Error("event is given up", "seq", l.seq, "kind", l.kind, "name", l.name, "attempts", l.Attempts, "error", l.Error)
	s.dead = append(s.dead, l)
	s.keep(l)
	if len(s.dead) > maxDead {
		s.forget(s.dead[0])
		s.dead = slices.Delete(s.dead, 0, 1)
		s.lose(1, "too many dead letters")
	}
}

// retry queues all dead letters again, and says how many.
func (s *sender) retry() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.dead)
	for _, l := range s.dead {
		l.Dead, l.Attempts, l.Since = time.Time{}, 0, time.Now()
		s.enqueue(l)
		s.keep(l)
	}
	s.dead = nil
	poke(s.wake)
	return n
}

// save keeps what has changed. The cursor alone is not worth it, unless it has come
// far, or all is asked for.
func (s *sender) save(now time.Time, all bool) {
	if s.saveAt.After(now) && !all {
		return
	}
	if s.begun && (!s.marked || s.cursor != s.saved && (all || len(s.dirty) > 0 || s.cursor-s.saved >= farBehind)) {
		s.dirty[cursorKey+s.hook.Name] = encode(cursor{s.cursor})
	}
	if len(s.dirty) == 0 {
		return
	}
	if err := s.queue.Update(s.dirty); err != nil {
		if !s.unsaved {
			s.logger.Error("the queue is not kept", "error", err)
		}
		s.unsaved, s.saveAt = true, now.Add(saveAgain)
		return
	}
	s.dirty, s.unsaved = map[string][]byte{}, false
	s.saved, s.marked = s.cursor, s.begun
}

package webhook

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
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
	// readAhead is how many events were read and not taken in yet: while the disk is
	// busy with some, the next ones gather here.
	readAhead = 256
	// farBehind is how many unwanted events are looked through before that is saved.
	farBehind = 1000
)

// sender brings events to one hook: those of one template in their order, those of
// several beside each other. A reader fills it, run posts, and anybody may ask it.
type sender struct {
	queue  Queue
	logger *slog.Logger
	agent  string
	posts  sync.WaitGroup
	wake   chan struct{} // holds one: run has something to look at

	arrivals chan arrival // from the reader to run

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
	losses    map[string]uint64 // by reason: those that were not told yet
	lastError string
	lastTime  time.Time
	dirty     map[string][]byte // what is not kept yet
	saveAt    time.Time         // not before then
	unsaved   bool              // the last save went wrong
}

func newSender(h Hook, queue Queue, opts *Options, transport http.RoundTripper) *sender {
	s := &sender{
		queue: queue, agent: opts.userAgent(), logger: opts.Logger.With("webhook", h.Name),
		wake: make(chan struct{}, 1), arrivals: make(chan arrival, readAhead),
		lanes: map[string]*lane{}, dirty: map[string][]byte{}, losses: map[string]uint64{},
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

// full says that no more events are taken in for now.
func (s *sender) full() bool { return s.pending >= maxPending }

// takeAll takes in what the reader has brought.
func (s *sender) takeAll(now time.Time) {
	for !s.full() {
		select {
		case a := <-s.arrivals:
			s.take(&a, now)
		default:
			return
		}
	}
}

// take takes in one event, which may be one that it has already.
func (s *sender) take(a *arrival, now time.Time) {
	if a.missed > 0 {
		s.lose(a.missed, "not in the journal any more")
		return
	}
	e := &a.event
	if s.begun && e.Seq <= s.cursor {
		return
	}
	s.cursor, s.begun = e.Seq, true
	switch {
	case !s.hook.wants(e):
	case now.Sub(e.Time) > s.hook.MaxAge:
		s.lose(1, "older than max_age")
	default:
		l := newLetter(e, now)
		s.enqueue(l)
		s.keep(l)
	}
}

// lose counts events that will not be posted.
func (s *sender) lose(n uint64, why string) {
	s.missed += n
	s.losses[why] += n
}

// tellLosses logs them, those of a turn together.
func (s *sender) tellLosses() {
	for why, n := range s.losses {
		s.logger.Warn("events are not posted", "events", n, "reason", why)
	}
	clear(s.losses)
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
		next, full, done := s.turn(ctx)
		if done || ctx.Err() != nil {
			break
		}
		timer.Reset(next)
		arrivals := s.arrivals
		if full {
			arrivals = nil
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		case a := <-arrivals:
			s.mu.Lock()
			s.take(&a, time.Now())
			s.mu.Unlock()
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
func (s *sender) turn(ctx context.Context) (next time.Duration, full, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.takeAll(now)
	s.tellLosses()
	s.save(now, false)
	at := s.dispatch(ctx, now)
	if len(s.dirty) > 0 {
		at = earlier(at, s.saveAt)
	}
	next = time.Hour
	if !at.IsZero() {
		next = at.Sub(now)
	}
	return next, s.full(), s.draining && s.flying == 0
}

// save keeps what has changed, unless that went wrong just now. The cursor alone is
// not worth it, unless it has come far, or all is asked for.
func (s *sender) save(now time.Time, all bool) {
	if s.saveAt.After(now) && !all {
		return
	}
	known := s.unsaved
	if err := s.store(now, all); err != nil && !known {
		s.logger.Error("the queue is not kept", "error", err)
	}
}

// store is save at once. What can't be kept is tried again a little later.
func (s *sender) store(now time.Time, all bool) error {
	if s.begun && (!s.marked || s.cursor != s.saved && (all || len(s.dirty) > 0 || s.cursor-s.saved >= farBehind)) {
		s.dirty[cursorKey+s.hook.Name] = encode(cursor{s.cursor})
	}
	if len(s.dirty) == 0 {
		return nil
	}
	if err := s.queue.Update(s.dirty); err != nil {
		s.unsaved, s.saveAt = true, now.Add(saveAgain)
		return err
	}
	s.dirty, s.unsaved = map[string][]byte{}, false
	s.saved, s.marked = s.cursor, s.begun
	return nil
}

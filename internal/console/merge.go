package console

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

// merger brings events and output together in one order, so that what a process
// wrote comes before the sentence about its end. While nothing happens it waits,
// without a timer. The goroutine of run owns all fields but those below a word
// of somebody else's.
type merger struct {
	print   *printer
	tell    *narrator
	held    *gaffer.Output // was read, but comes after the event at hand
	heard   time.Time      // every event of before this time was said
	failed  bool           // the latest write failed, and onError knows
	onError func(error)

	// Set once.
	events gaffer.Stream[gaffer.Event]
	output gaffer.Stream[gaffer.Output]
	news   chan item       // from listen; one may wait
	level  chan struct{}   // from listen: all that it has been asked for is in news
	says   chan item       // from Say; a few may wait
	ending context.Context // ended by stop: say what is left, then end
	end    context.CancelFunc
	deaf   chan struct{} // closed when listen has ended
	done   chan struct{} // closed when run has ended

	mu        sync.Mutex // guards the rest
	interrupt context.CancelFunc
	asked     bool               // hear waits for level
	hurry     context.CancelFunc // ends listen's waiting for an event
}

// item is one thing to say beside what processes write.
type item struct {
	event  gaffer.Event // if it has a kind
	missed int          // events that were lost
	say    sentence
}

func newMerger(p *printer, events gaffer.Stream[gaffer.Event], output gaffer.Stream[gaffer.Output], onError func(error)) *merger {
	ending, end := context.WithCancel(context.Background())
	return &merger{
		print: p, tell: newNarrator(), onError: onError, events: events, output: output,
		news: make(chan item, 1), level: make(chan struct{}), says: make(chan item, 16),
		ending: ending, end: end, deaf: make(chan struct{}), done: make(chan struct{}),
		interrupt: func() {}, hurry: func() {},
	}
}

// start starts the goroutines.
func (m *merger) start() {
	go m.listen()
	go m.run()
}

// stop has everything said that has happened, and ends the goroutines. It waits
// at most that long: a terminal may be stopped for ever.
func (m *merger) stop(patience time.Duration) {
	m.end()
	m.wake()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-m.done:
	case <-timer.C:
	}
}

// say has a sentence printed. It never waits: if many wait already, it is lost.
func (m *merger) say(s sentence) {
	select {
	case m.says <- item{say: s}:
		m.wake()
	default:
	}
}

// listen hands events to run, one at a time: the others wait in the subscription,
// which is bounded. When hear asks, it hands over all that wait, and says so.
func (m *merger) listen() {
	defer close(m.deaf)
	for {
		ctx := m.listener()
		for m.hand(ctx) {
		}
		if ctx.Err() == nil || m.ending.Err() != nil {
			return
		}
		for m.events.Len() > 0 {
			if !m.hand(m.ending) {
				return
			}
		}
		m.mu.Lock()
		m.asked = false
		m.mu.Unlock()
		select {
		case m.level <- struct{}{}:
		case <-m.ending.Done():
			return
		}
	}
}

// listener is a context that hear ends.
func (m *merger) listener() context.Context {
	ctx, cancel := context.WithCancel(m.ending)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hurry() // releases the one before
	m.hurry = cancel
	if m.asked {
		cancel()
	}
	return ctx
}

// hand waits for an event and hands it to run. It is false when there was none.
func (m *merger) hand(ctx context.Context) bool {
	i, ok := newsOf(m.events.Next(ctx))
	if !ok {
		return false
	}
	select {
	case m.news <- i:
		m.wake()
		return true
	case <-m.done:
		return false
	}
}

// hear says every event that was published before now. Without it, one that is on
// its way through listen would be overtaken by output that came after it. It costs a
// switch to listen and back for each batch of output, not for each line.
func (m *merger) hear() {
	now := time.Now()
	m.mu.Lock()
	m.asked = true
	m.hurry()
	m.mu.Unlock()
	for waiting := true; waiting; {
		select {
		case i := <-m.news:
			m.item(i)
		case <-m.level:
			waiting = false
		case <-m.deaf:
			waiting = false
		}
	}
	for len(m.news) > 0 {
		m.item(<-m.news)
	}
	m.heard = now
}

// newsOf is what Next of the events returned; it is not ok at the end.
func newsOf(e gaffer.Event, err error) (item, bool) {
	var missed gaffer.Missed
	if errors.As(err, &missed) {
		return item{missed: int(missed)}, true
	}
	return item{event: e}, err == nil
}

// wake ends the waiting for output: there is something to say.
func (m *merger) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.interrupt()
}

// waiter is a context that the next wake ends.
func (m *merger) waiter() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.interrupt() // releases the one before
	m.interrupt = cancel
	return ctx
}

// run prints until it is told to end.
func (m *merger) run() {
	defer close(m.done)
	ctx := m.waiter()
	for {
		select {
		case i := <-m.news:
			m.item(i)
			continue
		case i := <-m.says:
			m.item(i)
			continue
		case <-m.ending.Done():
			m.rest()
			return
		default:
		}
		if m.held != nil {
			if at := m.held.Time; at.After(m.heard) {
				m.hear()
				if at.After(m.heard) { // the clock was set back
					m.heard = at
				}
				continue
			}
			m.print.line(*m.held)
			m.held = nil
			continue
		}
		if m.output.Len() == 0 {
			m.flush()
		}
		o, err := m.output.Next(ctx)
		if err == nil {
			m.held = &o
		} else if !m.missing(err) {
			// The output has ended, or there is news.
			if ctx.Err() == nil {
				m.flush()
				m.eventsOnly()
				return
			}
			ctx = m.waiter()
		}
	}
}

// eventsOnly goes on when no output will come any more.
func (m *merger) eventsOnly() {
	for {
		select {
		case i := <-m.news:
			m.item(i)
		case i := <-m.says:
			m.item(i)
		case <-m.ending.Done():
			m.rest()
			return
		}
		m.flush()
	}
}

// rest says all that has happened and was not said yet.
func (m *merger) rest() {
	for listening := true; listening; {
		select {
		case i := <-m.news:
			m.item(i)
		case <-m.deaf:
			listening = false
		}
	}
	for len(m.news) > 0 {
		m.item(<-m.news)
	}
	for m.events.Len() > 0 {
		i, ok := newsOf(m.events.Next(context.Background()))
		if !ok {
			break
		}
		m.item(i)
	}
	m.catchUp(time.Now())
	for len(m.says) > 0 {
		m.item(<-m.says)
	}
	m.flush()
}

// missing says that output was lost, if that is what the error of Next says.
func (m *merger) missing(err error) bool {
	var missed gaffer.Missed
	if !errors.As(err, &missed) {
		return false
	}
	m.print.say(time.Now(), sentence{fmt.Sprintf("%s missing here: more came than could be shown", lines(int(missed))), red})
	return true
}

func lines(n int) string {
	if n == 1 {
		return "1 line is"
	}
	return fmt.Sprintf("%d lines are", n)
}

// item prints something that is not output, after the output that came before it.
func (m *merger) item(i item) {
	switch {
	case i.missed > 0:
		m.print.say(time.Now(), sentence{fmt.Sprintf("%d events are missing here: more came than could be shown", i.missed), red})
	case i.event.Kind == "":
		m.print.say(time.Now(), i.say)
	default:
		s, ok := m.tell.tell(i.event)
		if !ok {
			return
		}
		m.catchUp(i.event.Time)
		m.print.say(i.event.Time, s)
	}
	m.flushIfIdle()
}

// catchUp prints the output that waits and came before that time.
func (m *merger) catchUp(until time.Time) {
	for m.held != nil || m.output.Len() > 0 {
		if m.held == nil {
			o, err := m.output.Next(context.Background())
			if err != nil {
				if !m.missing(err) {
					return
				}
				continue
			}
			m.held = &o
		}
		if m.held.Time.After(until) {
			return
		}
		m.print.line(*m.held)
		m.held = nil
	}
}

func (m *merger) flushIfIdle() {
	if len(m.news) == 0 && m.held == nil && m.output.Len() == 0 {
		m.flush()
	}
}

// flush writes what was printed. When that begins to fail it is told, and all is
// read on: the next write may succeed.
func (m *merger) flush() {
	m.print.flush()
	if m.print.err != nil && !m.failed {
		m.onError(m.print.err)
	}
	m.failed = m.print.err != nil
}

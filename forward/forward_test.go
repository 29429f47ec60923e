package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
)

func numbers(from, to int) (all []string) {
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprint("line ", i))
	}
	return all
}

func TestLinesFromTheBeginningOnAreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, r := newFiles(), &memory{}, &receiver{}
		f.write("web", "before")
		time.Sleep(time.Second)
		a := begin(t, f, p, r, central)
		synctest.Wait()
		f.write("web", numbers(1, 3)...)
		synctest.Wait()
		if diff := cmp.Diff(numbers(1, 3), r.lines()); diff != "" {
			t.Error(diff)
		}
		end(t, a)
		// What was written meanwhile is sent by the next one, also of what is new.
		f.write("web", numbers(4, 5)...)
		f.write("db", "first")
		a = begin(t, f, p, r, central)
		synctest.Wait()
		if diff := cmp.Diff(append(numbers(1, 5), "first"), r.lines()); diff != "" {
			t.Error(diff)
		}
		if st := a.List()[0]; st.Sent != 3 || st.Lost != 0 || !st.Behind.IsZero() || st.URL != "tcp://logs.example.com:601" || st.LastError != "" {
			t.Errorf("got %+v", st)
		}
		end(t, a)
		if r.open != 0 {
			t.Errorf("%d ways are open", r.open)
		}
	})
}

func TestLinesWaitUntilTheyAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, r := newFiles(), &memory{}, &receiver{err: errors.New("connection refused")}
		var log bytes.Buffer
		a, err := New([]Destination{central}, p, Options{newSink: r.sink, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.start(f); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.write("web", numbers(1, 5000)...)
		written := time.Now()
		time.Sleep(time.Hour)
		st := a.List()[0]
		if st.LastError != "connection refused" || st.Sent != 0 || !st.Behind.Equal(written) {
			t.Errorf("got %+v", st)
		}
		synctest.Wait()
		for i, at := range r.tries[1:] {
			if pause := at.Sub(r.tries[i]); pause < 800*time.Millisecond || pause > 72*time.Second {
				t.Errorf("pause %d is %s", i, pause)
			}
		}
		if n := len(r.tries); n < 45 || n > 100 {
			t.Errorf("%d tries in an hour", n)
		}
		r.set(func() { r.err = nil })
		time.Sleep(2 * time.Minute)
		if diff := cmp.Diff(numbers(1, 5000), r.lines()); diff != "" {
			t.Error(diff)
		}
		end(t, a)
		if n := strings.Count(log.String(), "lines wait"); n != 1 {
			t.Errorf("said %d times: %s", n, &log)
		}
	})
}

// A crash at any moment: every line comes at least once, the first time in order.
func TestCrashesLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, r := newFiles(), &memory{}, &receiver{most: 7}
		names := []string{"a", "b", "c"}
		count := map[string]int{}
		end(t, begin(t, f, p, r, central)) // here it begins
		for range 80 {
			a := begin(t, f, p, r, central)
			for range rand.IntN(6) {
				name := names[rand.IntN(3)]
				for range rand.IntN(30) {
					count[name]++
					f.write(name, fmt.Sprint(name, " ", count[name]))
				}
				time.Sleep(time.Duration(rand.IntN(900)) * time.Millisecond)
				r.set(func() {
					r.err = nil
					if rand.IntN(3) == 0 {
						r.err = errors.New("broken pipe")
					}
				})
			}
			p = p.crash()
			a.crash()
		}
		r.set(func() { r.err = nil })
		a := begin(t, f, p, r, central)
		time.Sleep(time.Hour)
		end(t, a)
		first := map[string]int{}
		for _, line := range r.lines() {
			var name string
			var n int
			if _, err := fmt.Sscan(line, &name, &n); err != nil {
				t.Fatal(err)
			}
			if n > first[name]+1 {
				t.Fatalf("%s came before %s %d", line, name, first[name]+1)
			}
			first[name] = max(first[name], n)
		}
		if diff := cmp.Diff(count, first); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhatIsLostIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := newFiles(), &memory{}
		r := &receiver{err: errors.New("down"), refuse: func(s string) bool { return s == "line 4100" }}
		a := begin(t, f, p, r, central)
		synctest.Wait()
		f.write("web", numbers(1, 100)...)
		time.Sleep(time.Second)
		ahead := 0
		f.write("web", numbers(101, 5000)...)
		f.giveUp(1000)
		r.set(func() { r.err = nil })
		time.Sleep(2 * time.Minute)
		st := a.List()[0]
		got := r.lines()
		for _, line := range got {
			ahead += len(line) + 1
		}
		all := 0
		for _, line := range numbers(1, 5000) {
			all += len(line) + 1
		}
		if st.Lost != 1 || st.LostBytes != int64(all-ahead-len("line 4100\n")) || st.Sent != uint64(len(got)) {
			t.Errorf("got %+v with %d lines", st, len(got))
		}
		if !slices.IsSortedFunc(got, func(a, b string) int { return len(a) - len(b) }) || got[len(got)-1] != "line 5000" {
			t.Errorf("out of order")
		}
		end(t, a)
	})
}

func TestStopSendsWhatIsTakenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, r := newFiles(), &memory{}, &receiver{pause: time.Millisecond}
		a := begin(t, f, p, r, central)
		synctest.Wait()
		f.write("web", numbers(1, 4000)...)
		start := time.Now()
		end(t, a)
		if diff := cmp.Diff(numbers(1, 4000), r.lines()); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %s", took)
		}
		if err := a.Reload(nil); !errors.Is(err, gaffer.ErrClosed) {
			t.Errorf("got %v, want closed", err)
		}
		end(t, a) // a second time is fine

		// One that takes nothing holds nothing up, and has the rest the next time.
		r.set(func() { r.err = errors.New("down") })
		a = begin(t, f, p, r, central)
		f.write("web", "line 4001")
		time.Sleep(time.Minute)
		start = time.Now()
		end(t, a)
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %s", took)
		}
		// So has one that hangs.
		r.set(func() { r.err, r.pause = nil, time.Hour })
		a = begin(t, f, p, r, central)
		time.Sleep(time.Second)
		start = time.Now()
		end(t, a)
		if took := time.Since(start); took != DefaultDrain {
			t.Errorf("took %s", took)
		}
		// Where the next manager goes on, nothing waits.
		f.leaves = true
		a = begin(t, f, p, r, central)
		time.Sleep(time.Second)
		start = time.Now()
		end(t, a)
		if took := time.Since(start); took != 0 {
			t.Errorf("took %s", took)
		}
		f.leaves = false
		r.set(func() { r.pause = 0 })
		end(t, begin(t, f, p, r, central))
		if diff := cmp.Diff(numbers(1, 4001), r.lines()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestReloadGoesOnWithThoseThatStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, r := newFiles(), &memory{}, &receiver{err: errors.New("down")}
		other := Destination{Name: "other", Type: OTLP, URL: "http://h/", Target: "db"}
		a := begin(t, f, p, r, central, other)
		synctest.Wait()
		f.write("web", numbers(1, 10)...)
		time.Sleep(time.Hour)
		r.set(func() { r.err = nil })
		moved := central
		moved.URL = "tls://elsewhere.example.com"
		if err := a.Reload([]Destination{moved}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // it is tried again at once
		if diff := cmp.Diff(numbers(1, 10), r.lines()); diff != "" {
			t.Error(diff)
		}
		f.write("db", "to one of them")
		time.Sleep(time.Second)
		// Another target begins with what is written from now on.
		moved.Target = "db"
		if err := a.Reload([]Destination{moved, other}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		f.write("web", "of no interest")
		f.write("db", "query")
		time.Sleep(time.Second)
		if diff := cmp.Diff(append(numbers(1, 10), "to one of them", "query", "query"), r.lines()); diff != "" {
			t.Error(diff)
		}
		if err := a.Reload([]Destination{{Name: "x"}}); !errors.Is(err, gaffer.ErrInvalid) {
			t.Errorf("got %v, want invalid", err)
		}
		if err := a.Reload([]Destination{central, central}); !errors.Is(err, gaffer.ErrConflict) {
			t.Errorf("got %v, want a conflict", err)
		}
		if list := a.List(); len(list) != 2 || list[0].Target != "db" {
			t.Errorf("got %+v", list)
		}
		if err := a.Reload(nil); err != nil {
			t.Error(err)
		}
		if len(p.values) != 0 {
			t.Errorf("kept of those that are no more: %v", p.values)
		}
		end(t, a)
	})
}

func TestAPauseThatIsAskedForIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, r := newFiles(), &memory{}, &receiver{err: &pausing{errors.New("answer 429"), 5 * time.Minute}}
		a := begin(t, f, p, r, central)
		synctest.Wait()
		f.write("web", "x")
		time.Sleep(time.Hour)
		a.crash()
		if n := len(r.tries); n < 11 || n > 14 {
			t.Errorf("%d tries in an hour", n)
		}
	})
}

func TestPlacesThatCanNotBeKeptHoldNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, r := newFiles(), &memory{full: true}, &receiver{}
		var log bytes.Buffer
		a, err := New([]Destination{central}, p, Options{newSink: r.sink, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.start(f); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for i := range 10 {
			f.write("web", fmt.Sprint("line ", i+1))
			time.Sleep(2 * time.Second)
		}
		if n := strings.Count(log.String(), "it is not kept"); n != 1 {
			t.Errorf("said %d times: %s", n, &log)
		}
		p.mu.Lock()
		p.full = false
		p.mu.Unlock()
		time.Sleep(2 * time.Second)
		end(t, a)
		end(t, begin(t, f, p, r, central))
		if diff := cmp.Diff(numbers(1, 10), r.lines()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestOutputThatCanNotBeReadIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, r := newFiles(), &memory{}, &receiver{}
		f.broken = errors.New("input/output error")
		a := begin(t, f, p, r, central)
		time.Sleep(time.Minute)
		if st := a.List()[0]; st.LastError != "input/output error" {
			t.Errorf("got %+v", st)
		}
		f.mu.Lock()
		f.broken = nil
		f.mu.Unlock()
		f.write("web", "line 1")
		time.Sleep(2 * time.Minute) // the next try may be later than the longest delay, by what is random in it
		if diff := cmp.Diff(numbers(1, 1), r.lines()); diff != "" {
			t.Error(diff)
		}
		f.mu.Lock()
		f.breaks = errors.New("stale file handle")
		f.mu.Unlock()
		f.write("web", "line 2")
		synctest.Wait()
		if st := a.List()[0]; st.LastError != "stale file handle" {
			t.Errorf("got %+v", st)
		}
		time.Sleep(time.Minute)
		if diff := cmp.Diff(numbers(1, 2), r.lines()); diff != "" {
			t.Error(diff)
		}
		end(t, a)
		if err := a.Start(context.Background(), nil); !errors.Is(err, gaffer.ErrConflict) {
			t.Errorf("got %v, want a conflict", err)
		}
	})
}

func TestDestinationsThatAreWrongAreRefused(t *testing.T) {
	for want, d := range map[string]Destination{
		"the name is not one":         {Name: "a/b", Type: Syslog, URL: "udp://h"},
		"type \"\": want one of":      {Name: "x"},
		"url: want udp, tcp or tls":   {Name: "x", Type: Syslog, URL: "http://h"},
		"url: names no host":          {Name: "x", Type: Syslog, URL: "udp://:514"},
		"it can't have":               {Name: "x", Type: Syslog, URL: "udp://u@h"},
		"has a path in it":            {Name: "x", Type: Syslog, URL: "tcp://h/path"},
		"absolute path":               {Name: "x", Type: Syslog, URL: "unix://dev/log"},
		"want a socket, as":           {Name: "x", Type: Journald, URL: "udp://h"},
		"has a port that is none":     {Name: "x", Type: Syslog, URL: "tcp://h:99999"},
		"want a URL such as":          {Name: "x", Type: Loki, URL: "loki://h"},
		"Authorization":               {Name: "x", Type: OTLP, URL: "https://u:p@h"},
		"facility \"x\"":              {Name: "x", Type: Journald, Facility: "x"},
		"label \"a-b\": want letters": {Name: "x", Type: Journald, Labels: map[string]string{"a-b": "c"}},
		"label \"slot\": is set by":   {Name: "x", Type: Journald, Labels: map[string]string{"slot": "c"}},
		"is no UTF-8":                 {Name: "x", Type: Journald, Labels: map[string]string{"a": "\xff"}},
		"ca: no certificate":          {Name: "x", Type: Journald, CA: []byte("x")},
		"target":                      {Name: "x", Type: Journald, Target: "!"},
	} {
		if _, err := New([]Destination{d}, &memory{}, Options{}); !errors.Is(err, gaffer.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestURLsHaveTheirUsualParts(t *testing.T) {
	for _, c := range []struct {
		d          Destination
		url, shown string
	}{
		{Destination{Type: Syslog, URL: "udp://h"}, "udp://h:514", "udp://h:514"},
		{Destination{Type: Syslog, URL: "tls://[::1]"}, "tls://[::1]:6514", "tls://[::1]:6514"},
		{Destination{Type: Syslog, URL: "tcp://h:7"}, "tcp://h:7", "tcp://h:7"},
		{Destination{Type: Syslog, URL: "unix:///dev/log"}, "unix:///dev/log", "unix:///dev/log"},
		{Destination{Type: Journald}, "unix:///run/systemd/journal/socket", "unix:///run/systemd/journal/socket"},
		{Destination{Type: Loki, URL: "https://h/"}, "https://h/loki/api/v1/push", "https://h"},
		{Destination{Type: OTLP, URL: "http://h:4318"}, "http://h:4318/v1/logs", "http://h:4318"},
		{Destination{Type: OTLP, URL: "http://h/secret"}, "http://h/secret", "http://h/…"},
		{Destination{Type: OTLP, URL: "http://h?key=secret"}, "http://h/v1/logs?key=secret", "http://h/…"},
	} {
		if d := c.d.withDefaults(); d.URL != c.url || d.shown() != c.shown {
			t.Errorf("%s: %s, shown as %s", c.d.URL, d.URL, d.shown())
		}
	}
}

// slowPlaces hold up who keeps something in them.
type slowPlaces struct {
	memory
	entered, leave chan struct{}
}

func (s *slowPlaces) Update(changes map[string][]byte) error {
	select {
	case s.entered <- struct{}{}:
		<-s.leave
	default:
	}
	return s.memory.Update(changes)
}

func TestATargetThatChangesWhileItIsBegunIsTaken(t *testing.T) {
	f, r := newFiles(), &receiver{}
	p := &slowPlaces{entered: make(chan struct{}), leave: make(chan struct{})}
	d := central
	d.Target = "web"
	a := begin(t, f, p, r, d)
	<-p.entered // it has read what is wanted, and is about to keep where it begins
	d.Target = "jobs"
	if err := a.Reload([]Destination{d}); err != nil {
		t.Fatal(err)
	}
	p.leave <- struct{}{}
	came := func() bool { return slices.Contains(r.lines(), "of jobs") }
	for end := time.Now().Add(10 * time.Second); !came() && time.Now().Before(end); time.Sleep(time.Millisecond) {
		f.write("jobs", "of jobs")
	}
	if !came() {
		t.Errorf("got %q", r.lines())
	}
	end(t, a)
}

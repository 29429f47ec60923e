package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// clocks are two clocks, one of which can be set.
type clocks struct{ Reading }

func at(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", s)
	if err != nil {
		panic(err)
	}
	return t
}

func (c *clocks) pass(d time.Duration) { c.Elapsed += d; c.Wall = c.Wall.Add(d) }
func (c *clocks) set(d time.Duration)  { c.Wall = c.Wall.Add(d) }

// due tells what is due, in short: a * marks what was missed.
func (p *Plan) told(now Reading) string {
	runs, skipped := p.Due(now)
	var all []string
	for _, r := range runs {
		s := r.Due.Format("02 15:04")
		if r.Late {
			s += "*"
		}
		all = append(all, s)
	}
	if skipped.Count > 0 || skipped.More {
		s := fmt.Sprintf("-%d", skipped.Count)
		if skipped.More {
			s += "+"
		}
		all = append(all, s+" to "+skipped.Last.Format("02 15:04"))
	}
	return strings.Join(all, " ")
}

func (p *Plan) want(t *testing.T, c *clocks, want string) {
	t.Helper()
	if got := p.told(c.Reading); got != want {
		t.Errorf("at %s due: %q, want %q", c.Wall.Format("02 15:04:05"), got, want)
	}
}

func newPlan(t *testing.T, c *clocks, expr string, how CatchUp) *Plan {
	return NewPlan(Rule{Cron: parse(t, expr), Zone: time.UTC, CatchUp: how}, c.Reading, time.Time{})
}

func TestAClockThatIsSetByAnHour(t *testing.T) {
	for how, missed := range map[CatchUp]string{None: "-1 to 29 03:00", One: "29 03:00*", All: "29 03:00*"} {
		c := &clocks{Reading{Wall: at("2026-11-29 02:30:00")}}
		p := newPlan(t, c, "0 3 * * *", how)
		c.set(time.Hour) // 3:30
		p.want(t, c, missed)
		c.set(-time.Hour)
		p.want(t, c, "")
		c.pass(31 * time.Minute) // 3:01 again
		p.want(t, c, "")
		c.pass(24*time.Hour - time.Minute)
		p.want(t, c, "30 03:00")
		c.set(-time.Hour) // after the run
		p.want(t, c, "")
		c.pass(time.Hour)
		p.want(t, c, "")
		if next := p.Next(c.Reading); !next.Equal(at("2026-12-01 03:00:00")) {
			t.Errorf("next %s", next)
		}
	}
}

func TestAClockThatIsSetBackBeforeTheTime(t *testing.T) {
	c := &clocks{Reading{Wall: at("2026-11-29 02:59:00")}}
	p := newPlan(t, c, "0 3 * * *", One)
	c.set(-time.Hour)
	c.pass(2 * time.Minute)
	p.want(t, c, "")
	if wait, _ := p.Wait(c.Reading); wait != 59*time.Minute {
		t.Errorf("wait %s", wait)
	}
	c.pass(59 * time.Minute)
	p.want(t, c, "29 03:00")
}

// Without a clock that goes on while it is off, a system begins in 1970; with one that
// is wrong, years ahead.
func TestAClockThatWasWrong(t *testing.T) {
	c := &clocks{Reading{Wall: at("1970-01-01 00:00:10")}}
	p := NewPlan(Rule{Cron: parse(t, "0 3 * * *"), Zone: time.UTC, CatchUp: All}, c.Reading, at("2026-11-27 03:00:00"))
	p.want(t, c, "")
	c.pass(3 * time.Hour)
	p.want(t, c, "01 03:00") // what else is there to go by
	c.Wall = at("2026-11-29 12:00:00")
	p.want(t, c, "28 03:00* 29 03:00*")

	c.Wall = at("2036-11-29 12:00:00")
	runs, skipped := p.Due(c.Reading)
	if len(runs) != Most || !skipped.More {
		t.Errorf("%d runs, %+v", len(runs), skipped)
	}
	c.Wall = at("2026-11-29 12:00:00")
	p.want(t, c, "")
	c.pass(15 * time.Hour)
	p.want(t, c, "30 03:00")
}

func TestWhatWasMissed(t *testing.T) {
	for _, test := range []struct {
		how    CatchUp
		within time.Duration
		away   time.Duration
		want   string
	}{
		{None, 0, 30 * time.Second, ""},
		{None, 0, 2*time.Hour + 30*time.Second, "01 02:00 -1 to 01 01:00"},
		{None, 0, 150 * time.Minute, "-2 to 01 02:00"},
		{One, 0, 150 * time.Minute, "01 02:00* -1 to 01 01:00"},
		{One, 20 * time.Minute, 150 * time.Minute, "-2 to 01 02:00"},
		{All, 0, 150 * time.Minute, "01 01:00* 01 02:00*"},
		{All, time.Hour, 150 * time.Minute, "01 02:00* -1 to 01 01:00"},
	} {
		c := &clocks{Reading{Wall: at("2026-11-01 00:00:00")}}
		p := NewPlan(Rule{Cron: parse(t, "@hourly"), Zone: time.UTC, CatchUp: test.how, Within: test.within}, c.Reading, time.Time{})
		c.set(test.away)
		p.want(t, c, test.want)
		p.want(t, c, "")

		c = &clocks{Reading{Wall: at("2026-11-01 00:00:00")}}
		rule := Rule{Every: time.Hour, CatchUp: test.how, Within: test.within}
		p = NewPlan(rule, Reading{Wall: c.Wall.Add(test.away)}, c.Wall) // of the manager before
		c.set(test.away)
		p.want(t, c, test.want)
	}
}

func TestMuchThatWasMissedIsBoundedAndQuick(t *testing.T) {
	began := time.Now()
	c := &clocks{Reading{Wall: at("2006-11-01 00:00:30")}}
	p := newPlan(t, c, "* * * * *", One)
	c.Wall = at("2026-11-01 00:00:45")
	p.want(t, c, "01 00:00 -99+ to 31 23:59")
	p = NewPlan(Rule{Every: time.Second, CatchUp: None}, c.Reading, at("2006-11-01 00:00:30"))
	p.want(t, c, "01 00:00 -99+ to 01 00:00")
	if d := time.Since(began); d > time.Second {
		t.Errorf("it took %s", d)
	}
}

func TestEveryGoesByTimeThatPasses(t *testing.T) {
	c := &clocks{Reading{Wall: at("2026-11-01 00:00:00")}}
	p := NewPlan(Rule{Every: 15 * time.Minute, CatchUp: All}, c.Reading, time.Time{})
	c.set(5 * time.Hour)
	p.want(t, c, "")
	c.set(-10 * time.Hour)
	c.pass(15*time.Minute - 1)
	p.want(t, c, "")
	c.pass(1)
	p.want(t, c, "31 19:15")
	// A manager that takes over after the clock was set back does not wait for hours.
	p = NewPlan(Rule{Every: 15 * time.Minute}, c.Reading, c.Wall.Add(5*time.Hour))
	if wait, _ := p.Wait(c.Reading); wait != 15*time.Minute {
		t.Errorf("wait %s", wait)
	}
}

func TestADelayComesOnTop(t *testing.T) {
	for _, rule := range []Rule{{Cron: parse(t, "@hourly"), Zone: time.UTC}, {Every: time.Hour}} {
		delays := []time.Duration{10 * time.Minute, 20 * time.Minute, 30 * time.Minute, 5 * time.Minute}
		rule.Delay = func(time.Time) time.Duration {
			d := delays[0]
			delays = delays[1:]
			return d
		}
		rule.CatchUp = All
		c := &clocks{Reading{Wall: at("2026-11-01 00:00:00")}}
		p := NewPlan(rule, c.Reading, time.Time{})
		c.pass(65 * time.Minute)
		p.want(t, c, "")
		c.pass(5 * time.Minute)
		p.want(t, c, "01 01:00")
		if next := p.Next(c.Reading); !next.Equal(at("2026-11-01 02:20:00")) {
			t.Errorf("next %s", next)
		}
		c.pass(2 * time.Hour) // 3:10: of 3:00 the delay is not over
		p.want(t, c, "01 02:00*")
		c.pass(20 * time.Minute)
		p.want(t, c, "01 03:00")
	}
}

// Whatever a clock does that is corrected now and then: what it passes is due once, or
// skipped as the rule says, in order, never before its time, and at once.
func TestRandomClocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expr := rapid.SampledFrom([]string{"* * * * *", "*/7 * * * *", "@hourly", "0 */2 * * *", "30 3,15 * * *", "0 0 * * *", "5 4 1,15 * *"}).Draw(t, "expr")
		if rapid.Bool().Draw(t, "random") {
			m, _ := field(t, "minute", 0, 59)
			h, _ := field(t, "hour", 0, 23)
			expr = m + " " + h + " * * *"
		}
		loc := zone(t, rapid.SampledFrom(zones).Draw(t, "zone"))
		how := CatchUp(rapid.IntRange(0, 2).Draw(t, "how"))
		cron := parse(t, expr)
		c := &clocks{Reading{Wall: rapid.SampledFrom([]time.Time{
			at("2026-03-28 20:00:00"), at("2026-10-24 20:00:00"), at("2026-11-01 00:00:00"), at("2026-04-04 10:00:00"),
		}).Draw(t, "start")}}
		start := c.Wall
		p := NewPlan(Rule{Cron: cron, Zone: loc, CatchUp: how}, c.Reading, time.Time{})
		high := start // the latest that the clock has shown
		var got []time.Time
		lost := 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch d := time.Duration(rapid.IntRange(1, 100*60).Draw(t, "seconds")) * time.Second; rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				c.set(d) // by NTP, or after a suspension
			case 1:
				c.set(-min(d, c.Wall.Sub(high)+FarBack-time.Second))
			case 2:
				c.pass(d % time.Minute)
			default: // as a timer does: until the next is due
				wait, _ := p.Wait(c.Reading)
				c.pass(min(wait, d))
			}
			if c.Wall.After(high) {
				high = c.Wall
			}
			runs, skipped := p.Due(c.Reading)
			if skipped.More {
				t.Skip("more than is counted")
			}
			lost += skipped.Count
			if how == All && skipped.Count > 0 || how == One && skipped.Count > 0 && len(runs) != 1 {
				t.Fatalf("%d skipped and %d run", skipped.Count, len(runs))
			}
			for _, r := range runs {
				if r.Due.After(c.Wall) {
					t.Fatalf("%s is due at %s", r.Due, c.Wall)
				}
				if late := c.Wall.Sub(r.Due) >= OnTime; r.Late != late && (how != All || late) || how == None && r.Late {
					t.Fatalf("%s at %s: late %v", r.Due, c.Wall, r.Late)
				}
				got = append(got, r.Due)
			}
			if wait, _ := p.Wait(c.Reading); wait <= 0 {
				t.Fatalf("more is due at %s", c.Wall)
			}
		}
		var want []time.Time
		for at := cron.Next(start.In(loc)); !at.IsZero() && !at.After(high); at = cron.Next(at) {
			want = append(want, at)
		}
		if len(got)+lost != len(want) || !slices.IsSortedFunc(got, time.Time.Compare) {
			t.Fatalf("%s until %s: %d run and %d skipped, want %d: %v", expr, high, len(got), lost, len(want), got)
		}
		for i, at := range got {
			if i > 0 && at.Equal(got[i-1]) || !slices.ContainsFunc(want, at.Equal) {
				t.Fatalf("%s: %s twice, or never due", expr, at)
			}
		}
	})
}

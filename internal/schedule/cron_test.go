package schedule

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // whatever this system has

	"pgregory.net/rapid"
)

func zone(t interface{ Fatal(...any) }, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func parse(t interface{ Fatalf(string, ...any) }, text string) *Cron {
	c, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

// from lists the next times as the clock shows them.
func from(t *testing.T, expr, zoneName, start string, n int) string {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04", start, zone(t, zoneName))
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, expr)
	var all []string
	for range n {
		at = c.Next(at)
		all = append(all, at.Format("02 15:04 MST"))
	}
	return strings.Join(all, ", ")
}

func TestWhenClocksAreSetForwardAndBack(t *testing.T) {
	for _, test := range []struct{ expr, zone, start, want string }{
		// 29 March 2026: 2:00 CET is 3:00 CEST.
		{"30 2 * * *", "Europe/Paris", "2026-03-28 00:00", "28 02:30 CET, 29 03:00 CEST, 30 02:30 CEST"},
		{"0 2 * * *", "Europe/Paris", "2026-03-28 12:00", "29 03:00 CEST, 30 02:00 CEST"},
		{"0 3 * * *", "Europe/Paris", "2026-03-28 12:00", "29 03:00 CEST, 30 03:00 CEST"},
		{"0,30 2,3 * * *", "Europe/Paris", "2026-03-28 12:00", "29 03:00 CEST, 29 03:30 CEST, 30 02:00 CEST"},
		{"*/10 2 * * *", "Europe/Paris", "2026-03-28 12:00", "29 03:00 CEST, 30 02:00 CEST"},
		{"0 */2 * * *", "Europe/Paris", "2026-03-29 00:00", "29 03:00 CEST, 29 04:00 CEST"},
		{"*/30 * * * *", "Europe/Paris", "2026-03-29 01:00", "29 01:30 CET, 29 03:00 CEST, 29 03:30 CEST"},
		{"30 * * * *", "Europe/Paris", "2026-03-29 01:00", "29 01:30 CET, 29 03:30 CEST"},
		// 25 October 2026: 3:00 CEST is 2:00 CET.
		{"30 2 * * *", "Europe/Paris", "2026-10-24 12:00", "25 02:30 CEST, 26 02:30 CET"},
		{"0 3 * * *", "Europe/Paris", "2026-10-24 12:00", "25 03:00 CET, 26 03:00 CET"},
		{"*/10 2 * * *", "Europe/Paris", "2026-10-25 01:45", "25 02:00 CEST, 25 02:10 CEST, 25 02:20 CEST, 25 02:30 CEST, 25 02:40 CEST, 25 02:50 CEST, 26 02:00 CET"},
		{"0 */2 * * *", "Europe/Paris", "2026-10-25 00:00", "25 02:00 CEST, 25 04:00 CET"},
		{"*/30 * * * *", "Europe/Paris", "2026-10-25 01:30", "25 02:00 CEST, 25 02:30 CEST, 25 02:00 CET, 25 02:30 CET, 25 03:00 CET"},
		{"@hourly", "Europe/Paris", "2026-10-25 01:30", "25 02:00 CEST, 25 02:00 CET, 25 03:00 CET"},
		{"@daily", "Europe/Paris", "2026-10-24 12:00", "25 00:00 CEST, 26 00:00 CET"},
		// 8 March and 1 November 2026, at 2:00.
		{"15 2 * * *", "America/New_York", "2026-03-07 12:00", "08 03:00 EDT, 09 02:15 EDT"},
		{"15 1 * * *", "America/New_York", "2026-10-31 12:00", "01 01:15 EDT, 02 01:15 EST"},
		{"15 * * * *", "America/New_York", "2026-11-01 00:30", "01 01:15 EDT, 01 01:15 EST, 01 02:15 EST"},
		// By half an hour: 4 October 2026 2:00 is 2:30; 5 April 2026 2:00 is 1:30.
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00", "04 02:30 +11, 05 02:15 +11"},
		{"0,15,45 * * * *", "Australia/Lord_Howe", "2026-10-04 01:30", "04 01:45 +1030, 04 02:45 +11, 04 03:00 +11"},
		{"45 1 * * *", "Australia/Lord_Howe", "2026-04-04 12:00", "05 01:45 +11, 06 01:45 +1030"},
		{"45 * * * *", "Australia/Lord_Howe", "2026-04-05 01:00", "05 01:45 +11, 05 01:45 +1030, 05 02:45 +1030"},
		// There is no midnight on 6 September 2026 in Chile, and no 30 December 2011 in Samoa.
		{"0 0 * * *", "America/Santiago", "2026-09-05 12:00", "06 01:00 -03, 07 00:00 -03"},
		{"0 12 30 * *", "Pacific/Apia", "2011-12-01 00:00", "31 00:00 +14, 30 12:00 +14"},
		{"0 12 * * 5", "Pacific/Apia", "2011-12-28 00:00", "31 00:00 +14, 06 12:00 +14"},
		{"0 * 30 * *", "Pacific/Apia", "2011-12-28 00:00", "30 00:00 +14"}, // in January
	} {
		n := strings.Count(test.want, ",") + 1
		if got := from(t, test.expr, test.zone, test.start, n); got != test.want {
			t.Errorf("%s in %s after %s\n got %s\nwant %s", test.expr, test.zone, test.start, got, test.want)
		}
	}
}

func TestExpressions(t *testing.T) {
	for _, test := range []struct{ expr, start, want string }{
		{"0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00"},
		{"0 0 * 2 mon#5", "2026-01-01 00:00", "2044-02-29 00:00"},
		{"0 0 13 * fri", "2026-11-01 00:00", "2026-11-06 00:00"},
		{"0 0 */2 * mon", "2026-11-02 00:00", "2026-11-09 00:00"}, // a star: both
		{"0 0 L * *", "2026-02-01 00:00", "2026-02-28 00:00"},
		{"0 0 15W * *", "2026-08-01 00:00", "2026-08-14 00:00"},
		{"0 9 * * FRI#L", "2026-11-01 00:00", "2026-11-27 09:00"},
		{"0 9 * * THU", "2026-11-27 00:00", "2026-12-03 09:00"},
		{"0 0 * MARCH *", "", "month"},
		{"0 22-2/2 * * *", "2026-11-01 22:30", "2026-11-02 00:00"},
		{"0 0 * * 7", "2026-11-02 00:00", "2026-11-08 00:00"},
		{"0 0 * * sat-mon", "2026-11-04 00:00", "2026-11-07 00:00"},
		{"@yearly", "2026-11-02 00:00", "2027-01-01 00:00"},
		{"  5   4 * *   *  ", "2026-11-02 00:00", "2026-11-02 04:05"},
		{"0 0 31 2 *", "", "no such day"},
		{"0 0 30 feb *", "", "no such day"},
		{"0 0 31 4,6,9,11 *", "", "no such day"},
		{"61 * * * *", "", `minute "61"`},
		{"* 24 * * *", "", `hour "24"`},
		{"* * 0 * *", "", `day of the month "0"`},
		{"* * * 13 *", "", `month "13"`},
		{"* * * * 8", "", `day of the week "8"`},
		{"* * * *", "", "4 fields; want 5"},
		{"0 * * * * *", "", "6 fields; want 5"},
		{"1,,2 * * * *", "", "between two commas"},
		{"*/0 * * * *", "", `minute "*/0"`},
		{"0 0 * * fri-mon/2", "", "end of the week"},
		{"", "", "is empty"},
		{"@every 5m", "", "every ="},
		{"@reboot", "", "@reboot"},
		{"@never", "", "@never"},
		{"TZ=Europe/Paris 0 3 * * *", "", "timezone ="},
		{"CRON_TZ=UTC @daily", "", "timezone ="},
	} {
		c, err := Parse(test.expr)
		if test.start == "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q: %v, want %q", test.expr, err, test.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", test.expr, err)
			continue
		}
		start, err := time.Parse("2006-01-02 15:04", test.start)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Next(start).Format("2006-01-02 15:04"); got != test.want {
			t.Errorf("%q after %s: %s, want %s", test.expr, test.start, got, test.want)
		}
	}
}

// field draws a field of an expression and what it means.
func field(t *rapid.T, name string, least, most int) (string, []bool) {
	set := make([]bool, most+1)
	span := func(from, to, step int) {
		for i := from; i <= to; i += step {
			set[i] = true
		}
	}
	n := func(from, to int) int { return rapid.IntRange(from, to).Draw(t, name) }
	switch n(0, 5) {
	case 0, 1:
		span(least, most, 1)
		return "*", set
	case 2:
		step := n(2, (most-least)/2+1)
		span(least, most, step)
		return "*/" + strconv.Itoa(step), set
	}
	var parts []string
	for range n(1, 3) {
		a := n(least, most)
		b := n(a, most)
		span(a, b, 1)
		part := strconv.Itoa(a)
		if b > a {
			part += "-" + strconv.Itoa(b)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ","), set
}

var zones = []string{"UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata", "Africa/Casablanca"}

// Whatever the expression and the zone, the times are those at which somebody who looks
// at the clock every minute finds them.
func TestEveryTimeIsRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		minute, minutes := field(t, "minute", 0, 59)
		hour, hours := field(t, "hour", 0, 23)
		dom, doms := field(t, "dom", 1, 31)
		month, months := "*", slices.Repeat([]bool{true}, 13)
		if rapid.Bool().Draw(t, "by month") {
			month, months = field(t, "month", 1, 12)
		}
		dow, dows := field(t, "dow", 0, 6)
		expr := strings.Join([]string{minute, hour, dom, month, dow}, " ")
		c, err := Parse(expr)
		if err != nil {
			t.Skip(expr)
		}
		loc := zone(t, rapid.SampledFrom(zones).Draw(t, "zone"))
		shows := func(civil time.Time) bool {
			d, w := doms[civil.Day()], dows[civil.Weekday()]
			day := d && w
			if dom[0] != '*' && dow[0] != '*' {
				day = d || w
			}
			return minutes[civil.Minute()] && hours[civil.Hour()] && day && months[civil.Month()]
		}
		hourly := !slices.Contains(hours, false)
		// Begin near a day on which some clocks are set.
		base := rapid.SampledFrom([]time.Time{
			time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC), time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC),
			time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC), time.Date(2026, 10, 31, 12, 0, 0, 0, time.UTC),
			time.Date(2026, 10, 3, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 4, 0, 0, 0, 0, time.UTC),
			time.Date(2026, 9, 5, 12, 0, 0, 0, time.UTC), time.Date(2027, 2, 27, 0, 0, 0, 0, time.UTC),
		}).Draw(t, "base")
		start := base.Add(time.Duration(rapid.IntRange(0, 1440).Draw(t, "after")) * time.Minute).In(loc)
		end := start.Add(3 * 24 * time.Hour)
		seen := map[time.Time]bool{}
		for at := start.Add(-48 * time.Hour); !at.After(start); at = at.Add(time.Minute) {
			seen[civilOf(at)] = true
		}
		var want []time.Time
		before := civilOf(start)
		for at := start.Add(time.Minute); !at.After(end); at = at.Add(time.Minute) {
			civil := civilOf(at)
			is := shows(civil)
			if !hourly {
				is = is && !seen[civil]
				for gap := before.Add(time.Minute); gap.Before(civil); gap = gap.Add(time.Minute) {
					is = is || shows(gap)
				}
			}
			if is {
				want = append(want, at)
			}
			seen[civil], before = true, civil
		}
		var got []time.Time
		for at := c.Next(start); !at.IsZero() && !at.After(end); at = c.Next(at) {
			got = append(got, at)
		}
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%s in %s after %s\n got %v\nwant %v", expr, loc, start, got, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0 3 * * *", "*/15 9-17 * * mon-fri", "@hourly", "0 0 L,15W * fri#2", "TZ=UTC * * * * *", "0 0 31 2 *", "1-2-3 /,* ? * *"} {
		f.Add(s)
	}
	paris := zone(f, "Europe/Paris")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			return
		}
		at := time.Date(2026, 3, 29, 0, 59, 30, 5, time.UTC).In(paris)
		for range 5 {
			next := c.Next(at)
			if next.IsZero() || !next.After(at) || next.Second() != 0 || next.Nanosecond() != 0 {
				t.Fatalf("%q: %s after %s", s, next, at)
			}
			at = next
		}
	})
}

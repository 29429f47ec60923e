// Package schedule says when something is due: by a cron expression in a time zone, or
// every so often; and what of it was missed. It has no timers and reads no clock.
package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
)

// Cron is a cron expression that was read.
type Cron struct {
	civil  *cron.SpecSchedule // as if days were all of 24 hours: in UTC
	hourly bool               // it names no hours
}

// searchYears is how far ahead the next time may lie: a 29th of February that has to be
// a Monday may be 40 years away.
const searchYears = 45

var (
	fieldNames = [...]string{"minute", "hour", "day of the month", "month", "day of the week"}
	parser     = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor | cron.Extended).
			WithMaxSearchYears(searchYears)
)

// Parse reads an expression: minute, hour, day of the month, month, day of the week,
// or one of @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly.
func Parse(text string) (*Cron, error) {
	text = strings.ToLower(strings.TrimSpace(text)) // upper case H means something else to the parser
	if text == "" {
		return nil, errors.New("is empty")
	}
	fields := strings.Fields(text)
	switch {
	case strings.HasPrefix(text, "@every"):
		return nil, errors.New("@every: want every = \"15m\" instead of cron")
	case strings.HasPrefix(text, "@reboot"):
		return nil, errors.New("@reboot: want a template without a schedule, with restart = never")
	case text[0] == '@' && len(fields) == 1:
	case strings.Contains(fields[0], "="):
		return nil, fmt.Errorf("%q: want timezone = \"Europe/Paris\" beside it", fields[0])
	case len(fields) != len(fieldNames):
		return nil, fmt.Errorf("%d fields; want 5: minute, hour, day of the month, month, day of the week", len(fields))
	default:
		for i, field := range fields {
			if err := checkField(i, field); err != nil {
				return nil, fmt.Errorf("%s %q: %w", fieldNames[i], field, err)
			}
		}
	}
	read, err := parser.Parse(text)
	if err != nil {
		return nil, errors.New(err.Error())
	}
	civil, ok := read.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("%q: want five fields, or @daily and the like", text)
	}
	civil.Location = time.UTC
	// As in crontab: days that are restricted in both ways match in either.
	civil.DowOrDom = len(fields) == len(fieldNames) && !isStar(fields[2]) && !isStar(fields[4])
	const allHours = 1<<24 - 1
	c := &Cron{civil: civil, hourly: civil.Hour&allHours == allHours}
	if civil.Next(time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, errors.New("there is no such day in any year")
	}
	return c, nil
}

func isStar(field string) bool { return field[0] == '*' || field[0] == '?' }

// checkField says what is wrong with one field, the others being any.
func checkField(i int, field string) error {
	for part := range strings.SplitSeq(field, ",") {
		if part == "" {
			return errors.New("there is nothing between two commas, or beside one")
		}
		// Sunday is both 0 and 7: what wraps over it would be counted twice.
		if span, _, steps := strings.Cut(part, "/"); i == 4 && steps && strings.Contains(span, "-") {
			one, err := parser.Parse("0 0 * * " + span)
			if s, ok := one.(*cron.SpecSchedule); err == nil && ok && s.Dow&1 != 0 && span[0] != '0' && !strings.HasPrefix(span, "sun") {
				return errors.New("a range over the end of the week can't have a step; want the days one by one")
			}
		}
	}
	all := [...]string{"*", "*", "*", "*", "*"}
	all[i] = field
	if _, err := parser.Parse(strings.Join(all[:], " ")); err != nil {
		return errors.New(strings.TrimSuffix(err.Error(), fmt.Sprintf(": %q", field)))
	}
	return nil
}

// Next is the first time after t, in the zone of t, zero if there is none.
//
// Where clocks are set forward or back, an expression that names hours keeps to one run
// for each time of day: what falls into the hour that does not exist is due right after
// it, and of an hour that comes twice the first one counts. One whose hour is "*" goes by
// the clock as it is: what does not exist is not due, and what comes twice is due twice.
func (c *Cron) Next(t time.Time) time.Time {
	if c.hourly {
		return c.nextSeen(t)
	}
	loc := t.Location()
	for civil := civilOf(t); ; {
		if civil = c.civil.Next(civil); civil.IsZero() {
			return time.Time{}
		}
		if at := firstInstant(civil, loc); at.After(t) {
			return at
		}
	}
}

// nextSeen is the next time at which a clock on the wall shows what was asked for.
func (c *Cron) nextSeen(t time.Time) time.Time {
	after := civilOf(t)
	for {
		_, end := t.ZoneBounds()
		civil := c.civil.Next(after)
		if civil.IsZero() {
			return civil
		}
		if at := instantAt(civil, t); end.IsZero() || at.Before(end) {
			return at
		}
		t, after = end, civilOf(end).Add(-time.Second)
	}
}

// civilOf is what a clock on the wall shows at t, as if it was UTC.
func civilOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// instantAt is when the clock shows that, by the offset that holds at t.
func instantAt(civil, t time.Time) time.Time {
	_, offset := t.Zone()
	return civil.Add(-time.Duration(offset) * time.Second).In(t.Location())
}

// firstInstant is when the clock shows that for the first time, or, if it never does,
// when it was set forward over it.
func firstInstant(civil time.Time, loc *time.Location) time.Time {
	at := time.Date(civil.Year(), civil.Month(), civil.Day(), civil.Hour(), civil.Minute(), civil.Second(), 0, loc)
	start, end := at.ZoneBounds()
	switch shown := civilOf(at); {
	case shown.After(civil):
		return start
	case shown.Before(civil):
		return end
	}
	if start.IsZero() {
		return at
	}
	if first := instantAt(civil, start.Add(-time.Second)); first.Before(start) {
		return first
	}
	return at
}

package schedule

import (
	"fmt"
	"strings"
)

// Calendar is the expression as systemd writes times, several that are added up. ok is
// false if it can't say them.
func (c *Cron) Calendar() (lines []string, ok bool) {
	s := c.civil
	if len(s.DomConstraints)+len(s.DowConstraints) > 0 {
		return nil, false
	}
	weekdays := ""
	if s.Dow&(1<<7-1) != 1<<7-1 {
		var days []string
		for i, name := range [...]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"} {
			if s.Dow&(1<<i) != 0 {
				days = append(days, name)
			}
		}
		weekdays = strings.Join(days, ",") + " "
	}
	line := func(weekdays, days string) string {
		return fmt.Sprintf("%s*-%s-%s %s:%s:00", weekdays, numbers(s.Month, 1, 12), days, numbers(s.Hour, 0, 23), numbers(s.Minute, 0, 59))
	}
	days := numbers(s.Dom, 1, 31)
	if s.DowOrDom && weekdays != "" && days != "*" {
		return []string{line("", days), line(weekdays, "*")}, true
	}
	if s.DowOrDom { // one of them is all days
		weekdays, days = "", "*"
	}
	return []string{line(weekdays, days)}, true
}

// numbers are those in a set, or a star if all are.
func numbers(set uint64, least, most int) string {
	var list []string
	for i := least; i <= most; i++ {
		if set&(1<<i) != 0 {
			list = append(list, fmt.Sprintf("%02d", i))
		}
	}
	if len(list) == most-least+1 {
		return "*"
	}
	return strings.Join(list, ",")
}

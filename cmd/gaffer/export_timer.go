package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/schedule"
)

// timerUnit is the unit that starts a process when its schedule says so. What systemd has
// no word for is told.
func timerUnit(t *gaffer.Template, slot int) string {
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "%s=%s\n", name, value) }
	s := t.Schedule
	b.WriteString("[Unit]\n")
	line("Description", fmt.Sprintf("when %s.%d is run", t.Name, slot))
	line("PartOf", systemdTarget)
	b.WriteString("\n[Timer]\n")
	if s.Every > 0 {
		line("OnActiveSec", s.Every.String())
		line("OnUnitActiveSec", s.Every.String())
	}
	for _, times := range calendarOf(t) {
		line("OnCalendar", strings.TrimSpace(times+" "+s.Timezone))
	}
	if s.Cron != "" && s.CatchUp != gaffer.CatchUpNone {
		line("Persistent", "true")
	}
	if s.Jitter > 0 {
		line("RandomizedDelaySec", s.Jitter.String())
	}
	line("AccuracySec", "1s")
	b.WriteString("\n[Install]\n")
	line("WantedBy", systemdTarget)
	if slot == 1 {
		tellBeyondTimer(t)
	}
	return b.String()
}

// calendarOf are the times of a template's expression as systemd writes them.
func calendarOf(t *gaffer.Template) []string {
	if t.Schedule.Cron == "" {
		return nil
	}
	c, err := schedule.Parse(t.Schedule.Cron)
	if err != nil {
		return nil // it was checked where it comes from
	}
	lines, _ := c.Calendar()
	return lines
}

// tellBeyondTimer tells what of a schedule a timer of systemd can't say.
func tellBeyondTimer(t *gaffer.Template) {
	s := t.Schedule
	if s.Cron != "" && len(calendarOf(t)) == 0 {
		note("%s: systemd can't say cron %q: its timer is without a time", t.Name, s.Cron)
	}
	var lost []string
	for name, is := range map[string]bool{
		"overlap": s.Overlap != "" && s.Overlap != gaffer.OverlapSkip, "retries": s.Retries > 0,
		"catch_up": s.CatchUp == gaffer.CatchUpAll, "catch_up_within": s.CatchUpWithin > 0,
	} {
		if is {
			lost = append(lost, "schedule."+name)
		}
	}
	slices.Sort(lost)
	if len(lost) > 0 {
		note("%s: a timer of systemd can't say %s", t.Name, list(lost))
	}
}

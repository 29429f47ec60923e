package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/console"
)

// inWords is the state of the template, and what that means.
func (r *report) inWords(now time.Time) (state, meaning string) {
	st := r.status
	start := fmt.Sprintf("`gaffer start %s`", st.Name)
	switch st.State {
	case gaffer.Running:
		if st.MaxProcesses == 0 {
			return "is scaled to 0", ": nothing is to run"
		}
		return "is running", ""
	case gaffer.Starting:
		return "is starting", ""
	case gaffer.Stopping:
		return "is stopping", ""
	case gaffer.InBackoff:
		return "is in back-off", ": " + r.cause() + "; tried again " + in(now, nextTry(st))
	case gaffer.InFlapping:
		return "is flapping", ": it crashes too often, so it pauses; tried again " + in(now, nextTry(st))
	case gaffer.Failed:
		if st.Armed {
			return "has failed", ": " + r.cause()
		}
		if st.Active == "active" {
			return "has failed", ": it is not started again by itself; " + start + " tries again"
		}
		return "has failed", ": it crashed too often and was given up; " + start + " tries again"
	case gaffer.Done:
		return "is done", ": it has ended as it should; " + start + " runs it again"
	case gaffer.Waiting:
		if !st.NextRun.IsZero() {
			return "is waiting for its time", ""
		}
		if st.Armed {
			return "is waiting", ": " + st.Reason
		}
		return "is waiting", ""
	case gaffer.Unhealthy:
		return "is unhealthy", ": it runs, but does not answer its health probe as it should"
	case gaffer.Stopped:
		if r.template.Detach {
			return "is detached", ": what it starts is left alone"
		}
		return "is stopped", ": it is not wanted to run; " + start + " starts it"
	}
	return "is " + string(st.State), ""
}

// facts are what is known about the template, the most urgent first.
func (r *report) facts(s *screen) facts {
	st := r.status
	var f facts
	if reason := r.reason(); reason != r.exitReason() && st.State != gaffer.InBackoff && !st.Armed {
		f.add("reason", reason)
	}
	if since := r.since(); !since.IsZero() {
		f.add("since", fmt.Sprintf("%s, %s", clock(s.now, since), ago(s.now, since)))
	}
	if st.MaxProcesses > 0 || st.Running > 0 {
		f.add("processes", fmt.Sprintf("%d of %d running", st.Running, st.MaxProcesses))
	}
	if !st.NextRun.IsZero() {
		f.add("next run", fmt.Sprintf("%s, %s", clock(s.now, st.NextRun), in(s.now, st.NextRun)))
	}
	if st.Restarts > 0 {
		f.add("restarts", fmt.Sprint(st.Restarts))
	}
	if p := exitedLast(st); p != nil {
		f.add("last exit", fmt.Sprintf("%s, %s at %s: %s", slotName(st.Name, p.Slot), ago(s.now, p.LastExit.Time), clock(s.now, p.LastExit.Time), exitInWords(p.LastExit)))
	}
	if r.lost > 0 {
		f.add("output", size(r.lost)+" could not be kept")
	}
	if r.blocked >= time.Second {
		f.add("blocked", "up to "+r.blocked.Round(100*time.Millisecond).String()+" as nobody read what it wrote")
	}
	t := r.template
	f.add("command", commandOf(t))
	f.add("directory", t.Cwd)
	f.add("sockets", socketsOf(t))
	f.add("user", strings.Trim(string(t.UID)+":"+string(t.GID), ":"))
	holds, missing := limitsInWords(st.Limits)
	f.add("limits", holds)
	f.add("not limited", missing)
	f.add("defined", r.defined())
	f.add("schedule", scheduleOf(t.Schedule))
	if !t.Detach {
		f.add("stopped", byFamily[r.family])
	}
	return f
}

// limitsInWords are the limits that hold and by what, and those that do not and why.
func limitsInWords(limits []gaffer.LimitStatus) (holds, missing string) {
	var on, off []string
	for _, l := range limits {
		name := strings.TrimPrefix(strings.TrimPrefix(l.Field, "limits."), "sandbox.")
		if l.Missing != "" {
			off = append(off, name+": "+l.Missing)
			continue
		}
		if l.Value != "true" {
			name += " " + l.Value
		}
		if l.By != "" && l.By != l.Field {
			name += " (" + l.By + ")"
		}
		on = append(on, name)
	}
	return strings.Join(on, ", "), strings.Join(off, "; ")
}

// byFamily says what is stopped with a process.
var byFamily = map[string]string{
	"":            "with its process group",
	"cgroup":      "with all that is in its cgroup",
	"subreaper":   "with all it has started (by parent, session and environment)",
	"environment": "with all it has started (by session and environment)",
}

// cause is the reason for a pause.
func (r *report) cause() string {
	if reason := r.reason(); reason != "" {
		return reason
	}
	return "it crashed"
}

// exitReason is how the last process ended, "" when none has.
func (r *report) exitReason() string {
	if p := exitedLast(r.status); p != nil {
		return exitInWords(p.LastExit)
	}
	return ""
}

// reason is why it is not running.
func (r *report) reason() string {
	st := r.status
	if st.Reason != "" {
		return st.Reason
	}
	for _, p := range st.Processes {
		if p.Reason != "" {
			return p.Reason
		}
	}
	return ""
}

// nextTry is when the first slot that waits is tried again.
func nextTry(st gaffer.Status) time.Time {
	var first time.Time
	for _, p := range st.Processes {
		if !p.RetryAt.IsZero() && (first.IsZero() || p.RetryAt.Before(first)) {
			first = p.RetryAt
		}
	}
	return first
}

// since is when the state began: the latest of its processes' states, as far as
// they are those of the template.
func (r *report) since() time.Time {
	var latest time.Time
	for _, p := range r.status.Processes {
		if p.State == r.status.State && p.Since.After(latest) {
			latest = p.Since
		}
	}
	return latest
}

// exitedLast is the slot of which a process ended last.
func exitedLast(st gaffer.Status) *gaffer.Process {
	var last *gaffer.Process
	for i := range st.Processes {
		p := &st.Processes[i]
		if p.LastExit != nil && (last == nil || p.LastExit.Time.After(last.LastExit.Time)) {
			last = p
		}
	}
	return last
}

// commandOf is what a template runs.
func commandOf(t gaffer.Template) string {
	if t.Shell {
		return "sh -c " + asTyped(t.Cmd)
	}
	words := make([]string, 0, 1+len(t.Args))
	words = append(words, t.Cmd)
	for _, arg := range t.Args {
		words = append(words, asTyped(arg))
	}
	return strings.Join(words, " ")
}

// asTyped is a word as a shell, and a file of gaffer's, would have to be given it.
func asTyped(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-+=./:,@%$", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// defined is where the template comes from, and what of it was changed since.
func (r *report) defined() string {
	if r.origin == nil {
		return ""
	}
	said := r.origin.Source
	switch {
	case said == "run time":
		said = "at run time"
	default:
		if app, found := strings.CutPrefix(said, "app:"); found {
			said = "by application " + app
		} else {
			said = "in " + said
		}
	}
	var changed []string
	for _, o := range r.origin.Overrides {
		changed = append(changed, fmt.Sprintf("%s %s, was %s", o.Field, orElse(o.Value, "unset"), orElse(o.Base, "unset")))
	}
	if len(changed) > 0 {
		said += "; changed since: " + strings.Join(changed, "; ")
	}
	return said
}

// clock is the time of day, with the date when that is not today.
func clock(now, at time.Time) string {
	at, now = at.Local(), now.Local()
	if at.YearDay() == now.YearDay() && at.Year() == now.Year() {
		return at.Format("15:04:05")
	}
	return at.Format("2006-01-02 15:04:05")
}

// quote prints lines that processes wrote, cut where a terminal's lines end. If
// there are several processes, each line has its own's name in front.
func (s *screen) quote(lines []gaffer.Output) {
	several := slices.ContainsFunc(lines, func(o gaffer.Output) bool { return o.Slot != lines[0].Slot })
	for _, o := range lines {
		front := "    "
		if several {
			front += slotName(console.Clean(o.Name), o.Slot) + " | "
		}
		_, _ = s.WriteString(front)
		said := console.CleanLine(o.Data, s.color)
		if room := s.width - len(front); s.width > 0 && cellsOf(console.CleanLine(o.Data, false)) > room {
			said = cut(console.CleanLine(o.Data, false), max(room, 0))
		}
		_, _ = s.WriteString(said + "\n")
	}
}

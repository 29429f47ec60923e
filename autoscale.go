package gaffer

import (
	"math"
	"strings"
	"time"
)

// Autoscale says within which bounds, and by what, the number of a template's processes
// is changed. One of CPU, RPSFile and Queue is what is looked at.
type Autoscale struct {
	// Min and Max are the bounds. Min: default 1; 0 needs RPSFile or Queue. Max is required.
	Min *int `json:"min,omitempty" toml:"min,omitempty"`
	Max int  `json:"max" toml:"max"`
	// CPU is how much each process should use on average, in percent of one core.
	CPU float64 `json:"cpu,omitempty" toml:"cpu,omitempty"`
	// RPSFile is a file that says how much there is to do now, as a number: requests
	// per second, or whatever Target counts. Relative to Cwd.
	RPSFile string `json:"rps_file,omitempty" toml:"rps_file,omitempty"`
	// Queue is a command of a shell that prints such a number, run as the template's
	// processes are: as that user, in that directory, with that environment.
	Queue string `json:"queue,omitempty" toml:"queue,omitempty"`
	// Target is how much of that number one process is to do. Required with them.
	Target float64 `json:"target,omitempty" toml:"target,omitempty"`
	// Interval is how often it is looked. Default 15s; least 1s.
	Interval Duration `json:"interval,omitzero" toml:"interval,omitempty"`
	// Cooldown is for how long nothing is changed after a change, whoever made it.
	// Default 60s.
	Cooldown *Duration `json:"cooldown,omitempty" toml:"cooldown,omitempty"`
	// Timeout is how long Queue may take; it is killed then, with all that it has
	// started. Default 10s.
	Timeout Duration `json:"timeout,omitzero" toml:"timeout,omitempty"`
}

// Defaults of Autoscale.
const (
	DefaultScaleInterval = 15 * time.Second
	DefaultScaleCooldown = time.Minute
	DefaultScaleTimeout  = 10 * time.Second

	leastScaleInterval = time.Second
)

// Least is Min or its default.
func (a *Autoscale) Least() int {
	if a.Min == nil {
		return 1
	}
	return *a.Min
}

func (a *Autoscale) clone() *Autoscale {
	if a == nil {
		return nil
	}
	c := *a
	c.Min, c.Cooldown = clonePointer(a.Min), clonePointer(a.Cooldown)
	return &c
}

func (a *Autoscale) validate(f *faults, t *Template) {
	if a == nil {
		return
	}
	switch {
	case a.Max == 0:
		f.add("scale.max", "is required")
	case a.Max < 0 || a.Max > MaxProcesses:
		f.add("scale.max", "%d: want 1 to %d", a.Max, MaxProcesses)
	case a.Least() < 0:
		f.add("scale.min", "%d: must not be negative", a.Least())
	case a.Least() > a.Max:
		f.add("scale.min", "%d: more than max, %d", a.Least(), a.Max)
	case t.NumProcesses != nil && (*t.NumProcesses < a.Least() || *t.NumProcesses > a.Max):
		f.add("numprocesses", "%d: scale is from %d to %d", *t.NumProcesses, a.Least(), a.Max)
	case t.Port > 0 && t.Port+a.Max-1 > 65535:
		f.add("scale.max", "%d: with port %d the last port is %d, beyond 65535", a.Max, t.Port, t.Port+a.Max-1)
	}
	a.validateSource(f)
	if a.Interval != 0 && a.Interval < Duration(leastScaleInterval) {
		f.add("scale.interval", "%s: want at least %s", a.Interval, leastScaleInterval)
	}
	if a.Cooldown != nil && *a.Cooldown < 0 {
		f.add("scale.cooldown", "%s: must not be negative", *a.Cooldown)
	}
	if a.Timeout < 0 || a.Timeout != 0 && a.Queue == "" {
		f.add("scale.timeout", "it is for the command of queue")
	}
}

// validateSource tells what is wrong with what is looked at.
func (a *Autoscale) validateSource(f *faults) {
	sources := 0
	for _, is := range []bool{a.CPU != 0, a.RPSFile != "", a.Queue != ""} {
		if is {
			sources++
		}
	}
	if sources != 1 {
		f.add("scale", "want one of cpu, rps_file and queue")
		return
	}
	for field, text := range map[string]string{"rps_file": a.RPSFile, "queue": a.Queue} {
		if strings.ContainsRune(text, 0) {
			f.add("scale."+field, "has a NUL byte")
		}
	}
	if a.CPU == 0 {
		if !(a.Target > 0) || math.IsInf(a.Target, 0) {
			f.add("scale.target", "%g: want how much one process is to do, more than 0", a.Target)
		}
		return
	}
	if !(a.CPU > 0) || math.IsInf(a.CPU, 0) {
		f.add("scale.cpu", "%g: want percent of one core, more than 0", a.CPU)
	}
	if a.Target != 0 {
		f.add("scale.target", "it is for rps_file and queue; cpu is a target itself")
	}
	if a.Min != nil && *a.Min == 0 {
		f.add("scale.min", "0: of no process no cpu is known, so there would never be one again; want at least 1")
	}
}

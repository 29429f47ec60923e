package gaffer

import (
	"fmt"
	"syscall"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// KillMode says what of a process and of all that it has started is asked to stop, and
// what is killed.
type KillMode string

// The kill modes.
const (
	// KillGroup asks the process group and kills everything that the process has started.
	KillGroup KillMode = "group"
	// KillMixed asks the main process alone and kills everything that it has started.
	KillMixed KillMode = "mixed"
	// KillProcess asks and kills the main process alone. What it has started is left
	// alone, however it ends.
	KillProcess KillMode = "process"
)

// StopStep is a signal and how long its effect is waited for.
type StopStep struct {
	Signal Signal   `json:"signal" toml:"signal"`
	Wait   Duration `json:"wait" toml:"wait"`
}

// mostStopSteps is how many signals a stop may take.
const mostStopSteps = 16

func (t *Template) validateStopping(f *faults) {
	switch t.KillMode {
	case "", KillGroup, KillMixed, KillProcess:
	default:
		f.add("kill_mode", "%q: want group, mixed or process", string(t.KillMode))
	}
	if t.Detach && (t.StopCommand != nil || t.StopSequence != nil || t.KillMode != "") {
		f.add("detach", "a detached program is not stopped: leave out stop_command, stop_sequence and kill_mode")
	}
	if t.StopCommand != nil && t.GracefulTimeout != nil && *t.GracefulTimeout == 0 {
		f.add("stop_command", "with graceful_timeout = 0 nothing is asked to stop")
	}
	if t.StopSequence == nil {
		return
	}
	if t.StopSignal != 0 || t.GracefulTimeout != nil || t.StopCommand != nil {
		f.add("stop_sequence", "it says all of a stop: leave out stop_signal, graceful_timeout and stop_command")
	}
	if n := len(t.StopSequence); n == 0 {
		f.add("stop_sequence", "is empty; graceful_timeout = 0 kills at once")
	} else if n > mostStopSteps {
		f.add("stop_sequence", "%d signals; want at most %d", n, mostStopSteps)
	}
	for i, step := range t.StopSequence {
		field := fmt.Sprintf("stop_sequence.%d", i)
		if step.Signal < 1 || step.Signal > 64 {
			f.add(field+".signal", "%d: want a signal's name, or a number from 1 to 64", int(step.Signal))
		}
		if step.Wait <= 0 {
			f.add(field+".wait", "%s: want how long to wait for its effect", step.Wait)
		}
	}
}

// killMode is the mode with its default.
func (t *Template) killMode() KillMode {
	if t.KillMode == "" {
		return KillGroup
	}
	return t.KillMode
}

// stopSteps are the signals of a stop.
func (r *recipe) stopSteps() []StopStep {
	if r.StopSequence != nil {
		return r.StopSequence
	}
	return []StopStep{{Signal(r.stopSignal()), Duration(r.grace())}}
}

// urge asks a process to stop. The next manager is to know that.
func (k *keeper) urge(p *process) {
	p.state, p.since = Stopping, time.Now()
	k.noteAgain(p)
	p.giveUpHooks() // post_start
	r := k.rules(p)
	if r.hook(hookPreStop) == nil || p.told || k.m.hurried.Load() {
		k.press(p)
		return
	}
	k.first(p, r, hookPreStop, func(report) {
		if p.ended != nil || !k.has(p) {
			return
		}
		p.told = true
		k.noteAgain(p)
		k.press(p)
	})
}

// noteAgain has what is known of a process kept for the next manager.
func (k *keeper) noteAgain(p *process) {
	if h := k.m.opts.Holder; h != nil {
		note := p.note()
		k.m.stopper.post(func() { h.Note(p.id, note) })
	}
}

// press asks a process to stop, by its command or by signals.
func (k *keeper) press(p *process) {
	grace := k.recipe.grace()
	switch r := k.rules(p); {
	case k.m.hurried.Load():
		k.hurry()
	case grace <= 0:
		k.kill(p, "killed at once")
	case r.StopCommand != nil:
		k.first(p, r, hookStop, func(told report) {
			switch {
			case p.ended != nil || !k.has(p) || p.killed != "":
			case !told.ok():
				k.step(p, k.recipe.stopSteps(), 0, 0)
			default:
				k.bound(p, grace, func() { k.kill(p, fmt.Sprintf("killed after %s", grace)) })
			}
		})
	default:
		k.step(p, k.recipe.stopSteps(), 0, 0)
	}
}

// step sends the n-th signal of a stop, or kills after the last one. passed is how long the
// stop has taken so far.
func (k *keeper) step(p *process, steps []StopStep, n int, passed time.Duration) {
	if p.ended != nil || !k.has(p) || p.killed != "" {
		return
	}
	if n == len(steps) {
		k.kill(p, fmt.Sprintf("killed after %s", passed))
		return
	}
	os, sig, mode := p.os, syscall.Signal(steps[n].Signal), k.rules(p).killMode()
	k.m.stopper.post(func() { p.ask(os, sig, mode) })
	wait := time.Duration(steps[n].Wait)
	k.bound(p, wait, func() { k.step(p, steps, n+1, passed+wait) })
}

// bound has something done when a process that was asked to stop has not ended in time.
func (k *keeper) bound(p *process, wait time.Duration, then func()) {
	p.patience = time.AfterFunc(wait, func() { k.box.hand(then) })
}

// ask asks the process to end. It runs beside the keeper.
func (p *process) ask(os proc.Process, sig syscall.Signal, mode KillMode) {
	send := os.SignalGroup
	if mode != KillGroup {
		send = os.Signal
	}
	// What does not exist any more has ended, and that is what is wanted.
	_ = send(sig)
	_ = send(syscall.SIGCONT) // what is suspended can't obey
}

// kill ends a process that was told to stop, unless it has ended or was killed.
func (k *keeper) kill(p *process, why string) {
	if p.killed != "" || p.ended != nil || !k.has(p) {
		return
	}
	p.killed = why
	if p.hook != nil {
		p.hook.giveUp()
	}
	if os := p.os; p.recipe.killMode() == KillProcess {
		go func() { _ = os.Signal(syscall.SIGKILL) }()
		return
	}
	go p.os.Kill()
}

// hurry kills what was told to stop, and what is run for it.
func (k *keeper) hurry() {
	for _, s := range k.slots {
		for _, p := range s.processes() {
			if p.state == Stopping || p.withdrawn.Load() {
				p.giveUpHooks()
			}
			if p.state == Stopping {
				k.kill(p, "killed, for there was no more time")
			}
		}
		if p := s.lastLog; p != nil && (k.closing || k.size() == 0) {
			p.Source.giveUpHooks() // on_exit, on_fail
		}
	}
}

package gaffer

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"time"
)

// Hooks are commands that are run at turns in the life of a template's processes, each
// for one of them. What they write is in the logs of that process, under their name.
type Hooks struct {
	// PreStart is run before a process is started. If it fails, so does the start.
	PreStart *Command `json:"pre_start,omitempty" toml:"pre_start,omitempty"`
	// PostStart is run once a process runs, beside it.
	PostStart *Command `json:"post_start,omitempty" toml:"post_start,omitempty"`
	// PreStop is run before a process is asked to stop.
	PreStop *Command `json:"pre_stop,omitempty" toml:"pre_stop,omitempty"`
	// PostStop is run when a process has ended, in whatever way, and before its slot is
	// filled again.
	PostStop *Command `json:"post_stop,omitempty" toml:"post_stop,omitempty"`
	// OnExit is run when a process has ended and nobody has asked for that.
	OnExit *Command `json:"on_exit,omitempty" toml:"on_exit,omitempty"`
	// OnFail is run when the template has failed because of that end: its crashes were
	// too many, or it is not to be started again.
	OnFail *Command `json:"on_fail,omitempty" toml:"on_fail,omitempty"`
}

// The names of hooks, which are the labels of what they write, too.
const (
	hookPreStart  = "pre_start"
	hookPostStart = "post_start"
	hookPreStop   = "pre_stop"
	hookPostStop  = "post_stop"
	hookOnExit    = "on_exit"
	hookOnFail    = "on_fail"
	hookStop      = "stop_command"
)

// hookLabels are those names. The number of such a stream of a process is its place here
// behind the process's own streams.
var hookLabels = []string{hookPreStart, hookPostStart, hookPreStop, hookPostStop, hookOnExit, hookOnFail, hookStop}

// named are the commands by their names.
func (h *Hooks) named() map[string]*Command {
	if h == nil {
		return nil
	}
	return map[string]*Command{
		hookPreStart: h.PreStart, hookPostStart: h.PostStart, hookPreStop: h.PreStop,
		hookPostStop: h.PostStop, hookOnExit: h.OnExit, hookOnFail: h.OnFail,
	}
}

func (h *Hooks) clone() *Hooks {
	if h == nil {
		return nil
	}
	return &Hooks{
		PreStart: h.PreStart.clone(), PostStart: h.PostStart.clone(), PreStop: h.PreStop.clone(),
		PostStop: h.PostStop.clone(), OnExit: h.OnExit.clone(), OnFail: h.OnFail.clone(),
	}
}

// hook is the command of that name, nil if there is none.
func (t *Template) hook(name string) *Command {
	switch {
	case name == hookStop:
		return t.StopCommand
	case t.Hooks == nil:
		return nil
	}
	return t.Hooks.named()[name]
}

// commands are the template's hooks, with the field of each, in the order of hookLabels.
func (t *Template) commands(each func(name, field string, c *Command)) {
	for _, name := range hookLabels {
		c, field := t.hook(name), "hooks."+name
		if name == hookStop {
			field = name
		}
		if c != nil {
			each(name, field, c)
		}
	}
}

// HookLabels are the labels of what the template's hooks and its stop command write.
func (t *Template) HookLabels() (labels []string) {
	t.commands(func(name, _ string, _ *Command) { labels = append(labels, name) })
	return labels
}

func (t *Template) validateHooks(f *faults) {
	if t.Detach && t.Hooks != nil {
		f.add("detach", "a detached program is not watched: leave out hooks")
	}
	t.commands(func(name, field string, c *Command) {
		c.validate(f, field, t.Shell)
		if !t.Detach && slices.Contains(append(slices.Clone(t.outputs()), t.CustomStreams...), name) {
			f.add(field, "label %q is that of what it writes: it can't be a stream's, too", name)
		}
	})
}

// checkHooks tries everything of hooks that can be tried without running them.
func (r *recipe) checkHooks(f *faults) {
	r.commands(func(name, field string, c *Command) {
		r.checkErrand(f, field, &errand{slot: 1, command: c, vars: hookVariables(name, 1, &Exit{Signal: 1, Reason: "x"})})
	})
}

// checkErrand tries everything of a command that can be tried without running it.
func (r *recipe) checkErrand(f *faults, field string, e *errand) {
	spec, err := r.errandSpec(e, "")
	if err == nil {
		_, err = lookProgram(spec, spec.Args[0], r.env)
	}
	if err != nil {
		f.add(field, "%v", err)
	}
}

// hookVariables are what hooks have in their environment beside what a process of the
// template has.
func hookVariables(name string, pid int, exit *Exit) map[string]string {
	vars := map[string]string{"GAFFER_HOOK": name}
	if pid != 0 {
		vars["MAINPID"] = strconv.Itoa(pid)
	}
	if exit == nil {
		return vars
	}
	vars["GAFFER_EXIT_STATUS"], vars["GAFFER_EXIT_SIGNAL"] = "", ""
	if exit.Signal != 0 {
		vars["GAFFER_EXIT_SIGNAL"] = exit.Signal.String()
	} else if exit.Status >= 0 {
		vars["GAFFER_EXIT_STATUS"] = strconv.Itoa(exit.Status)
	}
	vars["GAFFER_EXIT_REASON"] = exit.Reason
	return vars
}

// attended is what of hooks a process has. It belongs to the keeper.
type attended struct {
	hook   *ongoing   // the one that its start or its end waits for
	doing  string     // that one's name
	beside []*ongoing // others that are run for it
	ended  *Exit      // how it has ended, until it has left its slot
	told   bool       // pre_stop is over
}

// waitsFor says in words what the process's start or end waits for.
func (a *attended) waitsFor() string {
	if a.doing == "" {
		return ""
	}
	return "runs " + a.doing
}

// rules is the recipe whose hooks are a process's: the template's present one, unless that
// would have started another process.
func (k *keeper) rules(p *process) *recipe {
	if p.recipe == k.recipe || p.recipe.sameProcess(k.recipe) {
		return k.recipe
	}
	return p.recipe
}

// run runs a hook of a process. then is told in the keeper's mailbox how it went, but not
// once the manager leaves what it has to the next one.
func (k *keeper) run(p *process, r *recipe, name string, then func(report)) *ongoing {
	pid, exit := 0, p.ended
	if p.os != nil && exit == nil {
		pid = p.os.PID()
	}
	out := p.hookOutput(name)
	return k.m.errand(errand{
		recipe: r, slot: p.slot, id: p.id, vars: hookVariables(name, pid, exit), command: r.hook(name),
		output: out.write,
		done: func(told report) {
			out.close()
			k.box.hand(func() {
				if k.frozen {
					return
				}
				if f := told.failure(); f != "" && name != hookPreStart && !told.given {
					k.publishOf(p, KindHook, name+": "+f)
				}
				then(told)
			})
		},
	})
}

// first runs a hook for which the start or the end of a process waits.
func (k *keeper) first(p *process, r *recipe, name string, then func(report)) {
	var on *ongoing
	on = k.run(p, r, name, func(told report) {
		if p.hook != on { // it was passed over
			p.forgetHook(on)
			return
		}
		p.hook, p.doing = nil, ""
		then(told)
	})
	p.hook, p.doing = on, name
}

// passOver ends the hook that the process's start or end waits for, and the waiting.
func (p *process) passOver() {
	if p.hook != nil {
		p.hook.giveUp()
		p.beside = append(p.beside, p.hook)
		p.hook, p.doing = nil, ""
	}
}

func (p *process) forgetHook(on *ongoing) {
	p.beside = slices.DeleteFunc(p.beside, func(o *ongoing) bool { return o == on })
	p.quiet()
}

// aside runs a hook that nothing waits for, if there is such a one.
func (k *keeper) aside(p *process, r *recipe, name string) {
	if r.hook(name) == nil {
		return
	}
	var on *ongoing
	k.asides++
	on = k.run(p, r, name, func(report) {
		k.asides--
		p.forgetHook(on)
	})
	p.beside = append(p.beside, on)
}

// giveUpHooks ends what is run for the process.
func (p *process) giveUpHooks() {
	if p.hook != nil {
		p.hook.giveUp()
	}
	for _, on := range p.beside {
		on.giveUp()
	}
}

// quiet ends the process's log once nobody writes to it any more.
func (p *process) quiet() {
	if p.gone && p.hook == nil && len(p.beside) == 0 {
		p.log.End()
	}
}

// prepare has a process started, after its pre_start hook.
func (k *keeper) prepare(p *process) {
	if p.recipe.hook(hookPreStart) == nil {
		k.m.launch(p, k.noteOf(p))
		return
	}
	k.first(p, p.recipe, hookPreStart, func(told report) {
		var err error
		switch f := told.failure(); {
		case p.withdrawn.Load():
			err = errWithdrawn
		case f != "":
			err = errors.New(hookPreStart + ": " + f)
		default:
			p.since = time.Now()
			k.m.launch(p, k.noteOf(p))
			return
		}
		p.log.End()
		p.closeStored()
		k.launchFailed(p, err)
	})
}

// bury sees a process that has ended out of its slot: after its post_stop hook, if it has
// one. unasked says that nobody has asked for the end, failed that its template has
// failed by it.
func (k *keeper) bury(s *slot, p *process, exit *Exit, unasked, failed bool) {
	r := k.rules(p)
	for _, on := range p.beside { // it is for a process that runs
		on.giveUp()
	}
	if unasked {
		k.aside(p, r, hookOnExit)
	}
	if failed {
		k.aside(p, r, hookOnFail)
	}
	p.passOver() // pre_stop, stop_command
	if r.hook(hookPostStop) == nil || k.m.hurried.Load() {
		k.over(s, p)
		return
	}
	k.postStop(s, p, r, exit)
}

// over: nothing more is done for a process that has ended.
func (k *keeper) over(s *slot, p *process) {
	if p.ended != nil {
		p.said = p.whyFailed(p.ended)
	}
	p.ended, p.gone = nil, true
	k.vacate(s, p)
	k.m.kept(p.id)
	p.quiet()
}

// postStop runs the hook after the end of a process, which keeps its slot for so long.
func (k *keeper) postStop(s *slot, p *process, r *recipe, exit *Exit) {
	p.ended, p.os, p.state, p.since = exit, nil, Stopping, time.Now()
	k.first(p, r, hookPostStop, func(report) { k.over(s, p) })
}

// hookOutput is where what a hook writes goes.
type hookOutput struct {
	p      *process
	stream int
	file   io.WriteCloser // nil: into memory
}

func (p *process) hookOutput(name string) *hookOutput {
	m := p.k.m
	o := &hookOutput{p: p, stream: len(p.recipe.labels) + slices.Index(hookLabels, name)}
	if m.opts.Logs != nil && !p.recipe.Logs.inMemory() {
		o.file = m.opts.Logs.Writer(p.recipe.Name, p.slot, name, p.id, p.recipe.Logs)
	}
	return o
}

func (o *hookOutput) write(data []byte) {
	if o.file == nil {
		o.p.log.Write(o.stream, data, time.Now())
		return
	}
	_, _ = o.file.Write(data) // what can't be kept is counted there
}

func (o *hookOutput) close() {
	if o.file != nil {
		_ = o.file.Close()
	}
}

// resumeEnd goes on with the end of a process that an earlier manager has told of: nobody
// knows whether its post_stop hook was run to the end. It says whether there is any.
func (k *keeper) resumeEnd(s *slot, p *process, exit *Exit) bool {
	if exit == nil || p.recipe.hook(hookPostStop) == nil || s.current != nil || s.old != nil {
		return false
	}
	k.take(s, p)
	s.lastLog = &p.log
	k.m.attachFollowers(p)
	k.postStop(s, p, p.recipe, exit)
	return true
}

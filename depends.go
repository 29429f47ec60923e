package gaffer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Condition is what a template waits for of one that it depends on.
type Condition string

// The conditions.
const (
	DependsStarted  Condition = "started"           // all its processes run
	DependsReady    Condition = "ready"             // all are ready; it has a table ready
	DependsHealthy  Condition = "healthy"           // all are healthy; it has a table health
	DependsDone     Condition = "done"              // all have ended, and none is to follow
	DependsFinished Condition = "done-successfully" // all have ended as they should
)

// LossAction is what becomes of the processes of a template when one that it depends on
// has nothing left that is as it was waited for.
type LossAction string

// What becomes of them.
const (
	LossIgnore  LossAction = "ignore"  // nothing
	LossRestart LossAction = "restart" // they are replaced once the condition is met again
	LossStop    LossAction = "stop"    // they are stopped, and started once it is met again
)

func (t *Template) validateDepends(f *faults) {
	for _, name := range slices.Sorted(maps.Keys(t.DependsOn)) {
		field := "depends_on." + name
		if err := CheckName(name); err != nil {
			f.wrap(field, err)
			continue
		}
		switch t.DependsOn[name] {
		case DependsStarted, DependsReady, DependsHealthy, DependsDone, DependsFinished:
		default:
			f.add(field, "%q: want started, ready, healthy, done or done-successfully", string(t.DependsOn[name]))
		}
		if name == t.Name {
			f.add(field, "it can't wait for itself")
		}
	}
	switch t.OnLoss {
	case "", LossIgnore, LossRestart, LossStop:
	default:
		f.add("on_loss", "%q: want ignore, restart or stop", string(t.OnLoss))
	}
	if t.OnLoss != "" && len(t.DependsOn) == 0 {
		f.add("on_loss", "it depends on nothing; depends_on is empty")
	}
	if t.Detach && len(t.DependsOn) > 0 {
		f.add("detach", "a detached program waits for nothing: leave out depends_on")
	}
}

// lossable says whether a condition, once met, can be so no more.
func (c Condition) lossable() bool { return c != DependsDone && c != DependsFinished }

// CheckDependencies tells what is wrong with what templates depend on: names that there
// are not, conditions that are never met, and cycles. Each fault is a TemplateError with
// FieldErrors.
func CheckDependencies(templates []Template) error {
	byName := make(map[string]*Template, len(templates))
	for i := range templates {
		byName[templates[i].Name] = &templates[i]
	}
	var errs []error
	for i := range templates {
		errs = append(errs, named(templates[i].Name, templates[i].checkDependencies(byName)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if path := cycle(templates, byName); path != nil {
		return cycleError(path)
	}
	return nil
}

func cycleError(path []string) error {
	return named(path[0], &FieldError{"depends_on", invalidf("a cycle: %s", strings.Join(path, " -> "))})
}

// checkDependencies tells what is wrong with what a template depends on, among these.
func (t *Template) checkDependencies(byName map[string]*Template) error {
	var f faults
	for _, name := range slices.Sorted(maps.Keys(t.DependsOn)) {
		field, on := "depends_on."+name, byName[name]
		if on == nil {
			f.add(field, "there is no template %s%s", name, among(byName))
			continue
		}
		switch t.DependsOn[name] {
		case DependsReady:
			if on.Ready == nil {
				f.add(field, "%s has no table ready that says when it is; want started, or that table", name)
			}
		case DependsHealthy:
			if on.Health == nil {
				f.add(field, "%s has no table health that says whether it is; want started, or that table", name)
			}
		case DependsDone, DependsFinished:
			if on.OnDemand {
				f.add(field, "%s is started on demand: it is never done; want started", name)
			} else if on.Schedule == nil && on.restartPolicy() == RestartAlways {
				f.add(field, "%s is never done: its restart is always; want started, or on-failure or never there", name)
			}
		}
		if c := t.DependsOn[name]; on.Schedule != nil && c.lossable() {
			f.add(field, "%s has a schedule and seldom runs; want done or done-successfully", name)
		}
		if on.Detach {
			f.add(field, "%s is detached: nobody knows how it is", name)
		}
	}
	return errors.Join(f...)
}

// among says which templates there are, if they are few.
func among(byName map[string]*Template) string {
	const few = 8
	if len(byName) == 0 || len(byName) > few {
		return ""
	}
	return "; there are " + strings.Join(slices.Sorted(maps.Keys(byName)), ", ")
}

// cycle is a way from a template back to it, nil if there is none.
func cycle(templates []Template, byName map[string]*Template) []string {
	const (
		unseen = iota
		open
		closed
	)
	state := make(map[string]int, len(templates))
	type visit struct {
		name string
		rest []string
	}
	next := func(name string) []string {
		t := byName[name]
		if t == nil {
			return nil
		}
		return slices.Sorted(maps.Keys(t.DependsOn))
	}
	for i := range templates {
		if state[templates[i].Name] != unseen {
			continue
		}
		stack := []visit{{templates[i].Name, next(templates[i].Name)}} // not the goroutine's: graphs can be deep
		state[templates[i].Name] = open
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if len(top.rest) == 0 {
				state[top.name] = closed
				stack = stack[:len(stack)-1]
				continue
			}
			name := top.rest[0]
			top.rest = top.rest[1:]
			switch state[name] {
			case unseen:
				state[name] = open
				stack = append(stack, visit{name, next(name)})
			case open:
				var path []string
				for _, v := range stack {
					if v.name == name || len(path) > 0 {
						path = append(path, v.name)
					}
				}
				return append(path, name)
			}
		}
	}
	return nil
}

// InDependencyOrder sorts templates into layers: what those of one depend on is in the
// ones before. Within a layer they are in the order in which they were given. Names that
// are not among them, and cycles, are passed over.
func InDependencyOrder(templates []Template) [][]Template {
	needs := make(map[string][]string, len(templates))
	for i := range templates {
		needs[templates[i].Name] = slices.Collect(maps.Keys(templates[i].DependsOn))
	}
	depths := depthsOf(needs)
	var layers [][]Template
	for i := range templates {
		d := depths[templates[i].Name]
		for len(layers) <= d {
			layers = append(layers, nil)
		}
		layers[d] = append(layers[d], templates[i])
	}
	return slices.DeleteFunc(layers, func(l []Template) bool { return len(l) == 0 })
}

// depthsOf is for each name the length of the longest way to one that depends on nothing.
func depthsOf(needs map[string][]string) map[string]int {
	depths, waiting := make(map[string]int, len(needs)), make(map[string]int, len(needs))
	dependents := make(map[string][]string, len(needs))
	var free []string
	for name, on := range needs {
		for _, n := range on {
			if _, there := needs[n]; there {
				waiting[name]++
				dependents[n] = append(dependents[n], name)
			}
		}
		if waiting[name] == 0 {
			free = append(free, name)
		}
	}
	for len(free) > 0 {
		name := free[len(free)-1]
		free = free[:len(free)-1]
		for _, d := range dependents[name] {
			depths[d] = max(depths[d], depths[name]+1)
			if waiting[d]--; waiting[d] == 0 {
				free = append(free, d)
			}
		}
	}
	return depths
}

// unmet says that a condition is not met, in words.
func (c Condition) unmet(name string, f facts) string {
	if !f.exists {
		return fmt.Sprintf("there is no template %s", name)
	}
	want := string(c)
	if c == DependsFinished {
		want = "done"
	}
	text := fmt.Sprintf("%s is not %s", name, want)
	if f.state != "" && string(f.state) != want {
		text += ", but " + string(f.state)
	}
	return text
}

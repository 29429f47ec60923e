package gaffer

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"syscall"

	"github.com/gafferpm/gaffer/internal/output"
	"github.com/gafferpm/gaffer/internal/proc"
)

// What can be found out about a crash beyond how it ended.

// memoryShort says whether the kernel has killed something for want of memory
// since it was asked last. That does not say what, so it counts only for what was
// killed by nobody who is known.
func (m *Manager) memoryShort() bool {
	n, ok := proc.OOMKills()
	return ok && m.oomKills.Swap(n) < n
}

// killedByKernel says of a process that ended by a SIGKILL which gaffer did not
// send whether that was for want of memory.
func (p *process) killedByKernel(e proc.Exit) bool {
	if e.Signal != syscall.SIGKILL || p.why != "" || p.killed != "" {
		return false
	}
	switch {
	case e.OutOfMemory > 0: // which the kernel counts for each cgroup
		return true
	case e.Grouped && p.memoryLimit() > 0:
		return false
	}
	return p.k.m.memoryShort()
}

// memoryLimit is that of its cgroup, 0 if it has none.
func (p *process) memoryLimit() Size {
	if p.recipe.Limits == nil {
		return 0
	}
	return p.recipe.Limits.Memory
}

// outOfMemory says of a process that was killed for want of memory how that is known.
func (p *process) outOfMemory(e proc.Exit) string {
	if limit := p.memoryLimit(); limit > 0 && e.OutOfMemory > 0 {
		return fmt.Sprintf("out of memory (limits.memory is %s)", limit)
	}
	return "out of memory (the kernel has killed something for want of it)"
}

// lastLines is how many of the last lines are searched for what went wrong.
const lastLines = 20

// What programs say of a port that is taken, made when it is needed first: it takes
// as long as a tenth of the start of this program.
var (
	inUse = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)address (is )?already in use|EADDRINUSE|port \S+ (is )?(already )?(in use|allocated)`)
	})
	aPort = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)(?:[:\s]|port[ =])(\d{2,5})\b`)
	})
)

// findCause looks, beside the keeper, for what has made a process crash, and adds
// it to how its slot ended.
func (k *keeper) findCause(p *process) {
	ports := p.portsInUse()
	if p.recipe.Port > 0 {
		ports = append(ports, p.recipe.Port+p.slot-1)
	}
	for _, port := range ports {
		holder, taken := proc.Listening(port)
		if !taken {
			continue
		}
		cause := fmt.Sprintf("port %d is held by another program", port)
		if holder.PID != 0 {
			cause = fmt.Sprintf("port %d is held by pid %d (%s)", port, holder.PID, holder.Command)
		}
		k.box.hand(func() { k.foundCause(p, cause) })
		return
	}
}

// portsInUse are the numbers that may be the port of which the process has said
// last that it is taken.
func (p *process) portsInUse() (ports []int) {
	lines, err := p.last()
	if err != nil {
		return nil
	}
	defer lines.Close()
	for {
		r, err := lines.Next(context.Background())
		if err != nil {
			return ports
		}
		if !inUse().Match(r.Data) {
			continue
		}
		ports = ports[:0]
		for _, m := range aPort().FindAllSubmatch(r.Data, -1) {
			if n, err := strconv.Atoi(string(m[1])); err == nil && n > 0 && n < 1<<16 {
				ports = append(ports, n)
			}
		}
	}
}

// last are the last lines that the process has written.
func (p *process) last() (Stream[Output], error) {
	m := p.k.m
	if m.opts.Logs != nil && !p.recipe.Logs.inMemory() {
		return m.filed(selection{name: p.recipe.Name, slot: p.slot}, OutputOptions{Tail: lastLines, NoFollow: true}, nil)
	}
	f := &follower{m: m, reader: output.FollowLines[*process](0)}
	p.log.Attach(f.reader, lastLines, func(int) bool { return true })
	f.reader.End()
	return f, nil
}

// foundCause: it is known why a process has ended.
func (k *keeper) foundCause(p *process, cause string) {
	s := k.at(p.slot)
	if s == nil || s.lastLog != &p.log {
		return // another one has ended since
	}
	exit := *s.lastExit
	exit.Reason += "; " + cause
	s.lastExit = &exit
	if s.current == nil && s.reason != "" {
		s.reason += "; " + cause
	}
	if k.intent == failed {
		k.reason += "; " + cause
	}
	k.publishOf(p, KindBackoff, cause)
}

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
)

// limitLines are what a unit says of a template's limits.
func limitLines(t *gaffer.Template, line func(name, value string)) {
	if l := t.Limits; l != nil {
		for _, r := range []struct {
			name string
			text gaffer.Rlimit
		}{
			{"NOFILE", l.NoFile}, {"NPROC", l.NProc}, {"CORE", l.Core}, {"CPU", l.CPUTime}, {"FSIZE", l.FSize}, {"STACK", l.Stack}, {"AS", l.AS},
			{"DATA", l.Data}, {"MEMLOCK", l.MemLock}, {"SIGPENDING", l.SigPending}, {"MSGQUEUE", l.MsgQueue}, {"RTPRIO", l.RTPrio},
		} {
			line("Limit"+r.name, systemdRlimit(r.text))
		}
		if l.Memory > 0 {
			line("MemoryMax", strconv.FormatInt(int64(l.Memory), 10))
		}
		if l.CPU > 0 {
			line("CPUQuota", strconv.FormatFloat(math.Round(l.CPU*100), 'f', -1, 64)+"%")
		}
		if l.Pids > 0 {
			line("TasksMax", strconv.Itoa(l.Pids))
		}
	}
	if t.Nice != nil {
		line("Nice", strconv.Itoa(*t.Nice))
	}
	class, level, _ := strings.Cut(t.IOPrio, ":")
	line("IOSchedulingClass", class)
	line("IOSchedulingPriority", level)
	line("CPUAffinity", t.CPUAffinity)
	line("UMask", strings.TrimPrefix(t.Umask, "0o"))
	if t.OOMScoreAdj != nil {
		line("OOMScoreAdjust", strconv.Itoa(*t.OOMScoreAdj))
	}
	if t.Sandbox != nil {
		sandboxLines(t.Sandbox, line)
	}
	if t.MaxMemory > 0 {
		line("# not in systemd: max_memory", t.MaxMemory.String())
	}
}

func sandboxLines(s *gaffer.Sandbox, line func(name, value string)) {
	yes := map[bool]string{true: "yes"}
	line("NoNewPrivileges", yes[s.NoNewPrivs || len(s.ReadPaths)+len(s.WritePaths) > 0])
	if s.Capabilities != nil {
		names := make([]string, 0, len(s.Capabilities))
		for _, name := range s.Capabilities {
			names = append(names, "CAP_"+strings.TrimPrefix(strings.ToUpper(name), "CAP_"))
		}
		list := strings.Join(names, " ")
		if list == "" {
			list = " " // which is none, to systemd
		}
		line("CapabilityBoundingSet", list)
		line("AmbientCapabilities", strings.Join(names, " "))
	}
	line("PrivateTmp", yes[s.PrivateTmp])
	if len(s.ReadPaths)+len(s.WritePaths) > 0 {
		line("# not in systemd: sandbox", fmt.Sprintf("read_paths %q, write_paths %q", s.ReadPaths, s.WritePaths))
	}
}

// systemdRlimit is a limit as a unit has it: bytes, seconds or a number.
func systemdRlimit(r gaffer.Rlimit) string {
	if r == "" {
		return ""
	}
	parts := strings.Split(string(r), ":")
	for i, part := range parts {
		var size gaffer.Size
		var d gaffer.Duration
		switch part = strings.TrimSpace(part); {
		case part == "unlimited":
			parts[i] = "infinity"
		case size.UnmarshalText([]byte(part)) == nil:
			parts[i] = strconv.FormatInt(int64(size), 10)
		case d.UnmarshalText([]byte(part)) == nil:
			parts[i] = strconv.FormatFloat(math.Ceil(time.Duration(d).Seconds()), 'f', -1, 64)
		}
	}
	return strings.Join(parts, ":")
}

package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
)

// addLimits adds the flags for what processes may use and do.
func (f *templateFlags) addLimits(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Func("limits", "what a process may use, a `table` as nofile=65536,core=0,memory=512MiB,cpu=1.5,pids=100,best_effort=true or some of these, or off", func(s string) error {
		return setTable(f, s, func(t *gaffer.Template) **gaffer.Limits { return &t.Limits }, nil)
	})
	flags.Func("sandbox", "what a process is kept from, a `table` as no_new_privs=true,private_tmp=true,capabilities=net_bind_service:chown,read_paths=/srv:/opt,write_paths=/var/lib/web or some of these, or off; capabilities=none", func(s string) error {
		if s == "off" {
			return setTable[gaffer.Sandbox](f, s, sandboxOf, nil)
		}
		text, err := sandboxJSON(s)
		if err != nil {
			return err
		}
		return f.mergeTable(text)
	})
	whole := func(name, usage string, set func(*gaffer.Template, int)) {
		flags.Func(name, usage, func(s string) error {
			n, err := strconv.Atoi(s)
			if err != nil {
				return fmt.Errorf("want a number")
			}
			f.change(func(t *gaffer.Template) { set(t, n) })
			return nil
		})
	}
	whole("nice", "priority for the processors, a `number` from -20, the most, to 19", func(t *gaffer.Template, n int) { t.Nice = &n })
	whole("oom-score-adj", "how ready the kernel is to kill it when memory is short, a `number` from -1000, never, to 1000", func(t *gaffer.Template, n int) { t.OOMScoreAdj = &n })
	text := func(name, usage string, set func(*gaffer.Template, string)) {
		flags.Func(name, usage, func(s string) error {
			f.change(func(t *gaffer.Template) { set(t, s) })
			return nil
		})
	}
	text("ioprio", "`class` and level for disks: realtime:0 to best-effort:7, or idle", func(t *gaffer.Template, s string) { t.IOPrio = s })
	text("cpu-affinity", "`processors` to run on, as 0-3,6", func(t *gaffer.Template, s string) { t.CPUAffinity = s })
	text("umask", "rights that new files do not get, in `octal`", func(t *gaffer.Template, s string) { t.Umask = s })
	flags.Func("max-memory", "`size` of what a process may use with all it has started, before it is replaced", func(s string) error {
		var size gaffer.Size
		f.change(func(t *gaffer.Template) { t.MaxMemory = size })
		return size.UnmarshalText([]byte(s))
	})
}

func sandboxOf(t *gaffer.Template) **gaffer.Sandbox { return &t.Sandbox }

// sandboxJSON makes an object of the flag's text. Lists are separated by colons.
func sandboxJSON(s string) ([]byte, error) {
	fields := map[string]any{}
	for part := range strings.SplitSeq(s, ",") {
		name, value, found := strings.Cut(part, "=")
		name = strings.ReplaceAll(strings.TrimSpace(name), "-", "_")
		switch {
		case !found || name == "" || value == "":
			return nil, fmt.Errorf("%s: want NAME=VALUE,… or off", part)
		case name == "capabilities" && value == "none":
			fields[name] = []string{}
		case name == "capabilities", strings.HasSuffix(name, "_paths"):
			fields[name] = strings.Split(value, ":")
		default:
			on, err := strconv.ParseBool(value)
			if err != nil {
				return nil, fmt.Errorf("%s: want true or false", name)
			}
			fields[name] = on
		}
	}
	return json.Marshal(fields)
}

// mergeTable puts fields into the template's sandbox, of which it leaves the rest as
// it is.
func (f *templateFlags) mergeTable(text []byte) error {
	if err := checkTable[gaffer.Sandbox](text); err != nil {
		return err
	}
	f.change(func(t *gaffer.Template) {
		into := new(gaffer.Sandbox)
		if t.Sandbox != nil {
			*into = *t.Sandbox
		}
		_ = decodeTable(text, into) // as before
		t.Sandbox = into
	})
	return nil
}

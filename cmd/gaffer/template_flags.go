package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/nearest"
)

// templateFlags are the flags for the fields of a template. They collect changes:
// what was not given stays as it is.
type templateFlags struct {
	changes []func(*gaffer.Template)
	missing []string // variables that were to be unset and are not there
}

func (f *templateFlags) change(do func(*gaffer.Template)) { f.changes = append(f.changes, do) }

// apply makes the changes that were asked for.
func (f *templateFlags) apply(t *gaffer.Template) {
	for _, do := range f.changes {
		do(t)
	}
}

// add adds a flag for each field, and --unset for all.
func (f *templateFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.addEnvironment(cmd)
	f.addNumbers(cmd)
	f.addStreams(cmd)
	f.addLimits(cmd)
	f.addSockets(cmd)
	flags.Func("flapping", "when crashes are too many, a `table` as attempts=2,window=1s,retry_in=7s,max_retry=5 or some of these, or on, or off", func(s string) error {
		return setTable(f, s, func(t *gaffer.Template) **gaffer.Flapping { return &t.Flapping }, nil)
	})
	flags.Func("backoff", "pauses before what crashed is replaced, a `table` as first=100ms,factor=2,max=30s,jitter=0.1,reset_after=10s or some of these, or on, or off", func(s string) error {
		return setTable(f, s, func(t *gaffer.Template) **gaffer.Backoff { return &t.Backoff }, &gaffer.Backoff{First: new(gaffer.Duration)})
	})
	flags.Func("logs", "where output is kept and how much, a `table` as to=file,max_size=10MiB,max_files=5,max_total=1GiB,max_age=168h,compress=true or some of these, or on, or off for memory", func(s string) error {
		return setTable(f, s, func(t *gaffer.Template) **gaffer.LogFiles { return &t.Logs }, &gaffer.LogFiles{To: gaffer.LogsToMemory})
	})
	f.addDevelopment(cmd)
	flags.Func("stop-signal", "`signal` that asks to stop (default SIGTERM)", func(s string) error {
		sig, err := gaffer.ParseSignal(s)
		f.change(func(t *gaffer.Template) { t.StopSignal = sig })
		return err
	})
	flags.Func("graceful-timeout", "`time` between the stop signal and SIGKILL (default 30s)", func(s string) error {
		var d gaffer.Duration
		f.change(func(t *gaffer.Template) { t.GracefulTimeout = &d })
		return d.UnmarshalText([]byte(s))
	})
	flags.Func("schedule", "when it is run, a `table` as cron=EXPRESSION or every=TIME, with timezone=Europe/Paris,overlap=skip,catch_up=one,catch_up_within=TIME,jitter=TIME,retries=0,retry_delay=10s, or off", func(s string) error {
		return setTable(f, s, func(t *gaffer.Template) **gaffer.Schedule { return &t.Schedule }, nil)
	})
	f.addSupervision(cmd)
	f.addDependencies(cmd)
	f.addStopping(cmd)
	flags.Func("unset", "`field` to set back to its default, or variable as env.NAME; can be repeated", f.unset)
}

func (f *templateFlags) addEnvironment(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Func("env", "`variable`, as NAME=value; can be repeated", func(s string) error {
		name, value, found := strings.Cut(s, "=")
		if !found || name == "" {
			return fmt.Errorf("want NAME=value")
		}
		f.change(func(t *gaffer.Template) {
			if t.Env == nil {
				t.Env = map[string]string{}
			}
			t.Env[name] = value
		})
		return nil
	})
	first := true
	flags.Func("env-file", "`file` of variables, as the daemon's machine has it; can be repeated, later ones win", func(s string) error {
		anew := first
		first = false
		path, err := filepath.Abs(s)
		f.change(func(t *gaffer.Template) {
			if anew {
				t.EnvFiles = nil
			}
			t.EnvFiles = append(t.EnvFiles, path)
		})
		return err
	})
	f.truth(cmd, "os-env", "pass the daemon's environment on (default true)", func(t *gaffer.Template, on bool) { t.OSEnv = &on })
	flags.Func("cwd", "working `directory` (default the one this command is run in)", func(s string) error {
		path, err := filepath.Abs(s)
		f.change(func(t *gaffer.Template) { t.Cwd = literally(path) })
		return err
	})
	flags.Func("uid", "`user` to run as, name or number (default the daemon's)", func(s string) error {
		f.change(func(t *gaffer.Template) { t.UID = gaffer.Account(s) })
		return nil
	})
	flags.Func("gid", "`group` to run as, name or number", func(s string) error {
		f.change(func(t *gaffer.Template) { t.GID = gaffer.Account(s) })
		return nil
	})
	f.truth(cmd, "shell", "run CMD as a script of `sh -c`", func(t *gaffer.Template, on bool) { t.Shell = on })
	f.truth(cmd, "detach", "start it in a session of its own and leave it alone", func(t *gaffer.Template, on bool) { t.Detach = on })
	f.truth(cmd, "start", "start it when it is added (default true)", func(t *gaffer.Template, on bool) { t.Start = &on })
}

func (f *templateFlags) addNumbers(cmd *cobra.Command) {
	flags := cmd.Flags()
	number := func(name, short, usage string, set func(*gaffer.Template, int)) {
		flags.VarP(flagFunc(func(s string) error {
			n, err := strconv.Atoi(s)
			if err != nil {
				return fmt.Errorf("want a number")
			}
			f.change(func(t *gaffer.Template) { set(t, n) })
			return nil
		}), name, short, usage)
	}
	number("numprocesses", "c", "`number` of processes that should run (default 1)", func(t *gaffer.Template, n int) { t.NumProcesses = &n })
	number("priority", "", "start order, lower `numbers` first (default 0)", func(t *gaffer.Template, n int) { t.Priority = n })
	number("fdstore", "", "how many descriptors of a slot are kept at most that its processes give to keep, a `number` (default 0)", func(t *gaffer.Template, n int) { t.FDStore = n })
	number("port", "", "PORT of slot 1; each further slot gets the next `number`", func(t *gaffer.Template, n int) { t.Port = n })
}

// addDevelopment adds the flags of watch and scale.
func (f *templateFlags) addDevelopment(cmd *cobra.Command) {
	flags := cmd.Flags()
	first := map[string]bool{"watch": true, "watch-ignore": true}
	// The first one of a list takes the place of what is there.
	add := func(name, s string, list func(*gaffer.Watch) *[]string) {
		anew := first[name]
		first[name] = false
		f.change(func(t *gaffer.Template) {
			if t.Watch == nil {
				t.Watch = &gaffer.Watch{}
			}
			into := list(t.Watch)
			if anew {
				*into = nil
			}
			*into = append(*into, s)
		})
	}
	flags.Func("watch", "`path` or pattern, as src/**/*.py, whose changes restart it; relative to cwd; can be repeated; --unset watch turns it off", func(s string) error {
		add("watch", s, func(w *gaffer.Watch) *[]string { return &w.Paths })
		return nil
	})
	flags.Func("watch-ignore", "`pattern` of what is not watched; can be repeated", func(s string) error {
		add("watch-ignore", s, func(w *gaffer.Watch) *[]string { return &w.Ignore })
		return nil
	})
	flags.Func("watch-action", "what a change does: restart, or the name of a `signal` (default restart)", func(s string) error {
		f.change(func(t *gaffer.Template) {
			if t.Watch == nil {
				t.Watch = &gaffer.Watch{}
			}
			t.Watch.Action = s
		})
		return nil
	})
	flags.Func("scale", "bounds of the number of processes and what it follows, a `table` as min=1,max=4,cpu=70 or max=4,queue=COMMAND,target=10 (without commas in it), or off", func(s string) error {
		return setTable(f, s, func(t *gaffer.Template) **gaffer.Autoscale { return &t.Scale }, nil)
	})
	f.truth(cmd, "exit-with", "its end ends gaffer up; a daemon does not look at it", func(t *gaffer.Template, on bool) { t.ExitWith = on })
}

func (f *templateFlags) addStreams(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Func("redirect-output", "`labels` of stdout and stderr (default stdout,stderr); none: discard both", func(s string) error {
		labels := []string{}
		if s != "none" {
			labels = strings.Split(s, ",")
		}
		f.change(func(t *gaffer.Template) { t.RedirectOutput = labels })
		return nil
	})
	f.truth(cmd, "redirect-input", "make stdin a pipe, for `gaffer send`", func(t *gaffer.Template, on bool) { t.RedirectInput = on })
	f.truth(cmd, "pty", "give it a terminal of its own, for `gaffer attach`", func(t *gaffer.Template, on bool) { t.PTY = on })
	flags.Func("custom-streams", "`labels` of further two-way streams", func(s string) error {
		f.change(func(t *gaffer.Template) { t.CustomStreams = strings.Split(s, ",") })
		return nil
	})
}

// truth is a flag that may be given without a value.
func (f *templateFlags) truth(cmd *cobra.Command, name, usage string, set func(*gaffer.Template, bool)) {
	cmd.Flags().BoolFunc(name, strings.ReplaceAll(usage, "`", "'"), func(s string) error {
		on, err := strconv.ParseBool(s)
		if err != nil {
			return fmt.Errorf("want true or false")
		}
		f.change(func(t *gaffer.Template) { set(t, on) })
		return nil
	})
}

// unset reads the name of a field that is to have its default again.
func (f *templateFlags) unset(field string) error {
	if name, found := strings.CutPrefix(field, "env."); found {
		f.change(func(t *gaffer.Template) {
			if _, there := t.Env[name]; !there {
				f.missing = append(f.missing, name)
			}
			delete(t.Env, name)
		})
		return nil
	}
	field = strings.ReplaceAll(field, "-", "_")
	if !slices.Contains(fieldNames, field) {
		return fmt.Errorf("want env.NAME, %s", strings.Join(fieldNames, ", "))
	}
	f.change(func(t *gaffer.Template) { *t = without(*t, field) })
	return nil
}

// fieldNames are the fields that a template can do without.
var fieldNames = []string{
	"args", "env", "env_files", "os_env", "cwd", "uid", "gid", "shell", "detach", "numprocesses", "priority", "start",
	"flapping", "backoff", "logs", "redirect_output", "redirect_input", "pty", "custom_streams", "sockets", "graceful_timeout", "stop_signal", "port",
	"restart", "success_exit_codes", "max_runtime", "schedule", "depends_on", "on_loss", "rollout", "ready", "health", "fdstore", "on_demand", "idle_timeout",
	"limits", "nice", "ioprio", "cpu_affinity", "umask", "oom_score_adj", "max_memory", "sandbox",
	"watch", "scale", "exit_with",
	"stop_command", "stop_sequence", "kill_mode", "hooks",
}

// without is the template with one field unset.
func without(t gaffer.Template, field string) gaffer.Template {
	var fields map[string]json.RawMessage
	text, err := json.Marshal(t)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		return t
	}
	delete(fields, field)
	var left gaffer.Template
	if text, err = json.Marshal(fields); err == nil {
		err = json.Unmarshal(text, &left)
	}
	if err != nil {
		return t
	}
	return left
}

// setTable reads a flag as "attempts=2,window=1s" into a table of the template, of
// which it leaves the rest as it is. "on" is the table with its defaults.
func setTable[T any](f *templateFlags, s string, table func(*gaffer.Template) **T, off *T) error {
	switch s {
	case "off":
		f.change(func(t *gaffer.Template) { *table(t) = off })
		return nil
	case "on":
		f.change(func(t *gaffer.Template) { *table(t) = new(T) })
		return nil
	}
	text, err := tableJSON[T](s)
	if err != nil {
		return err
	}
	if err := checkTable[T](text); err != nil {
		return err
	}
	f.change(func(t *gaffer.Template) {
		into := table(t)
		if *into == nil {
			*into = new(T)
		}
		_ = decodeTable(text, *into) // as before
	})
	return nil
}

// tableJSON makes an object of "attempts=2,window=1s" for a table. Numbers stay numbers,
// true and false what they are, but where the table has a text.
func tableJSON[T any](s string) ([]byte, error) {
	fields := map[string]any{}
	_, types := fieldsOf[T]()
	last := ""
	for part := range strings.SplitSeq(s, ",") {
		name, value, found := strings.Cut(part, "=")
		if !found && last == "cron" { // it has commas of its own
			fields[last] = fmt.Sprint(fields[last], ",", part)
			continue
		}
		name = strings.ReplaceAll(strings.TrimSpace(name), "-", "_")
		if !found || name == "" || value == "" {
			return nil, fmt.Errorf("%s: want NAME=VALUE,…, on or off", part)
		}
		last = name
		switch _, err := strconv.ParseFloat(value, 64); {
		case types[name] != nil && types[name].Kind() == reflect.String:
			fields[name] = value
		case err == nil:
			fields[name] = json.Number(value)
		case value == "true" || value == "false":
			fields[name] = value == "true"
		default:
			fields[name] = value
		}
	}
	return json.Marshal(fields)
}

// checkTable tells which field of a table there is not, or has a value of another sort.
func checkTable[T any](text []byte) error {
	known, types := fieldsOf[T]()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown field %s%s; there are %s", name, nearest.Hint(name, known), strings.Join(known, ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if err := checkField[T](name, types[name], fields[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// fieldsOf are the names of a table's fields, in order, and their types.
func fieldsOf[T any]() (names []string, types map[string]reflect.Type) {
	types = map[string]reflect.Type{}
	for field := range reflect.TypeFor[T]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names, types[name] = append(names, name), field.Type
	}
	return names, types
}

// checkField tells whether a field of a table can have that value.
func checkField[T any](name string, is reflect.Type, value json.RawMessage) error {
	text, err := json.Marshal(map[string]json.RawMessage{name: value})
	if err != nil {
		return err
	}
	err = decodeTable(text, new(T))
	var sort *json.UnmarshalTypeError
	if !errors.As(err, &sort) {
		return err
	}
	switch is {
	case reflect.TypeFor[gaffer.Duration](), reflect.TypeFor[*gaffer.Duration]():
		return errors.New("want a time such as 10s")
	case reflect.TypeFor[bool](), reflect.TypeFor[*bool]():
		return errors.New("want true or false")
	}
	return errors.New("want a number")
}

func decodeTable(text []byte, into any) error {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// flagFunc is a flag that calls a function, for flags with a short form.
type flagFunc func(string) error

func (f flagFunc) Set(s string) error { return f(s) }
func (f flagFunc) String() string     { return "" }
func (f flagFunc) Type() string       { return "value" }

package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
)

// addStopping adds the flags of a stop and of hooks.
func (f *templateFlags) addStopping(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Func("stop-command", "`command` that asks to stop, instead of the stop signal", func(s string) error {
		f.change(func(t *gaffer.Template) { t.StopCommand = &gaffer.Command{Cmd: s} })
		return nil
	})
	flags.Func("stop-sequence", "`signals` of a stop, each with how long its effect is waited for, such as SIGQUIT=10s,SIGTERM=5s", func(s string) error {
		steps, err := stopSteps(s)
		f.change(func(t *gaffer.Template) { t.StopSequence = steps })
		return err
	})
	flags.Func("kill-mode", "`mode`: what a stop asks and kills: group, mixed or process (default group)", func(s string) error {
		f.change(func(t *gaffer.Template) { t.KillMode = gaffer.KillMode(s) })
		return nil
	})
	names := hookNames()
	flags.Func("hook", "`command` that is run at a turn, as pre_start=CMD; with "+strings.Join(names[:len(names)-1], ", ")+" or "+names[len(names)-1]+
		"; can be repeated; without CMD there is none", func(s string) error {
		name, text, found := strings.Cut(s, "=")
		i := slices.Index(names, strings.ReplaceAll(name, "-", "_"))
		if !found || i < 0 {
			return fmt.Errorf("want NAME=CMD with a NAME of %s", strings.Join(names, ", "))
		}
		f.change(func(t *gaffer.Template) { setHook(t, i, text) })
		return nil
	})
}

// stopSteps reads "SIGQUIT=10s,SIGTERM=5s".
func stopSteps(s string) (steps []gaffer.StopStep, err error) {
	for word := range strings.SplitSeq(s, ",") {
		name, wait, found := strings.Cut(word, "=")
		if !found {
			return nil, fmt.Errorf("want SIGNAL=TIME with commas in between")
		}
		var step gaffer.StopStep
		if step.Signal, err = gaffer.ParseSignal(name); err != nil {
			return nil, err
		}
		if err = step.Wait.UnmarshalText([]byte(wait)); err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// hookNames are the names of hooks, in the order of their fields.
func hookNames() (names []string) {
	t := reflect.TypeFor[gaffer.Hooks]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("toml"), ",")
		names = append(names, name)
	}
	return names
}

// setHook gives a template a hook, or takes it away.
func setHook(t *gaffer.Template, i int, text string) {
	var hooks gaffer.Hooks
	if t.Hooks != nil {
		hooks = *t.Hooks
	}
	var c *gaffer.Command
	if text != "" {
		c = &gaffer.Command{Cmd: text}
	}
	reflect.ValueOf(&hooks).Elem().Field(i).Set(reflect.ValueOf(c))
	t.Hooks = &hooks
	if hooks == (gaffer.Hooks{}) {
		t.Hooks = nil
	}
}

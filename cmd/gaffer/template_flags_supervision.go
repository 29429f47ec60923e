package main

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
)

func (f *templateFlags) addSupervision(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Func("restart", "`policy`: always, on-failure or never (default always)", func(s string) error {
		f.change(func(t *gaffer.Template) { t.Restart = gaffer.RestartPolicy(s) })
		return nil
	})
	flags.Func("success-exit-codes", "exit `statuses` that are a success, such as 0,3 (default 0)", func(s string) error {
		var codes []int
		for word := range strings.SplitSeq(s, ",") {
			n, err := strconv.Atoi(word)
			if err != nil {
				return fmt.Errorf("want numbers with commas in between")
			}
			codes = append(codes, n)
		}
		f.change(func(t *gaffer.Template) { t.SuccessExitCodes = codes })
		return nil
	})
	flags.Func("max-runtime", "`time` a process may run before it is stopped (default for ever)", func(s string) error {
		var d gaffer.Duration
		err := d.UnmarshalText([]byte(s))
		f.change(func(t *gaffer.Template) { t.MaxRuntime = d })
		return err
	})
	flags.Func("rollout", "how processes are replaced, a `table` as max_surge=1,max_unavailable=0,order=start-first,drain=5s,timeout=10m or some of these, or on, or off", func(s string) error {
		return setTable(f, s, func(t *gaffer.Template) **gaffer.Rollout { return &t.Rollout }, nil)
	})
	flags.Func("ready", "how it is known that it is ready, a `table` as http=URL, tcp=HOST:PORT, unix=PATH, exec=CMD, output=REGEXP, notify=true or fd=N, with timeout=1m,interval=1s, or off", func(s string) error {
		return setTable(f, s, func(t *gaffer.Template) **gaffer.Ready { return &t.Ready }, nil)
	})
	flags.Func("health", "how it is known that it does well, a `table` as http=URL, tcp=HOST:PORT, unix=PATH, exec=CMD or watchdog=TIME, with interval=10s,timeout=5s,failures=3,successes=1,start_period=0s,action=restart, or off", func(s string) error {
		return setTable(f, s, func(t *gaffer.Template) **gaffer.Health { return &t.Health }, nil)
	})
}

func (f *templateFlags) addDependencies(cmd *cobra.Command) {
	flags := cmd.Flags()
	anew := true
	flags.Func("depends-on", "what it waits for, as `name=condition,…`: started, ready, healthy, done or done-successfully", func(s string) error {
		needs := map[string]gaffer.Condition{}
		for one := range strings.SplitSeq(s, ",") {
			name, condition, found := strings.Cut(one, "=")
			if !found {
				return fmt.Errorf("want NAME=CONDITION,…")
			}
			needs[name] = gaffer.Condition(condition)
		}
		first := anew
		anew = false
		f.change(func(t *gaffer.Template) {
			if first {
				t.DependsOn = nil
			}
			if t.DependsOn == nil {
				t.DependsOn = map[string]gaffer.Condition{}
			}
			maps.Copy(t.DependsOn, needs)
		})
		return nil
	})
	flags.Func("on-loss", "what becomes of it when that is lost, an `action`: ignore, restart or stop (default ignore)", func(s string) error {
		f.change(func(t *gaffer.Template) { t.OnLoss = gaffer.LossAction(s) })
		return nil
	})
}

package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
)

// systemdTarget is the unit that starts and stops all exported ones.
const systemdTarget = "gaffer-exported.target"

// systemdUnits are a unit for each process, and one for all.
func systemdUnits(templates []gaffer.Template) []unit {
	var units []unit
	var names []string
	sockets := exportSockets(templates)
	for _, t := range templates {
		count := 1
		if t.NumProcesses != nil {
			count = *t.NumProcesses
		}
		for slot := 1; slot <= count; slot++ {
			name := strings.ReplaceAll(t.Name, ":", "-")
			if count > 1 {
				name += "-" + strconv.Itoa(slot)
			}
			sockets.usedBy(&t, name+".service")
			units = append(units, unit{name + ".service", serviceUnit(&t, slot, sockets)})
			if t.Schedule != nil {
				units = append(units, unit{name + ".timer", timerUnit(&t, slot)})
			}
			switch {
			case t.Start != nil && !*t.Start:
			case t.OnDemand && count == 1: // a socket starts one service
				names = append(names, strings.Fields(sockets.of(&t))...)
			case t.Schedule != nil:
				names = append(names, name+".timer")
			default:
				names = append(names, name+".service")
			}
		}
	}
	units = append(sockets.units(), units...)
	all := fmt.Sprintf("[Unit]\nDescription=services exported by gaffer\nWants=%s\n\n[Install]\nWantedBy=multi-user.target\n", strings.Join(names, " "))
	return append(units, unit{systemdTarget, all})
}

// serviceUnit is the unit of one process.
func serviceUnit(t *gaffer.Template, slot int, sockets *exportedSockets) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s=%s\n", name, value)
		}
	}
	b.WriteString("[Unit]\n")
	line("Description", fmt.Sprintf("%s.%d", t.Name, slot))
	line("PartOf", systemdTarget)
	line("StartLimitIntervalSec", "0")
	line("Requires", sockets.of(t))
	line("After", sockets.of(t))
	b.WriteString("\n[Service]\n")
	line("Sockets", sockets.of(t))
	line("WorkingDirectory", specifiers(strings.ReplaceAll(t.Cwd, "$$", "$")))
	line("User", string(t.UID))
	line("Group", string(t.GID))
	for _, file := range t.EnvFiles {
		line("EnvironmentFile", specifiers(file))
	}
	env := map[string]string{"GAFFER_NAME": t.Name, "GAFFER_SLOT": strconv.Itoa(slot)}
	if t.Port > 0 {
		env["PORT"] = strconv.Itoa(t.Port + slot - 1)
	}
	maps.Copy(env, t.Env)
	for _, name := range sortedKeys(env) {
		line("Environment", systemdWord(name+"="+strings.ReplaceAll(env[name], "$$", "$"), false))
	}
	limitLines(t, line)
	exportHooks(t, line)
	switch {
	case t.Schedule != nil || t.Restart == gaffer.RestartNever:
		line("Restart", "no")
	case t.Restart == gaffer.RestartOnFailure:
		line("Restart", "on-failure")
		line("RestartSec", restartDelay(t).String())
	default:
		line("Restart", "always")
		line("RestartSec", restartDelay(t).String())
	}
	if t.MaxRuntime > 0 {
		line("RuntimeMaxSec", t.MaxRuntime.String())
	}
	line("SuccessExitStatus", strings.Trim(fmt.Sprint(t.SuccessExitCodes), "[]"))
	if t.StopSignal != 0 {
		line("KillSignal", t.StopSignal.String())
	}
	exportKillMode(t, line)
	line("TimeoutStopSec", seconds(gracefulTimeout(t)))
	if t.Schedule == nil {
		b.WriteString("\n[Install]\n")
		line("WantedBy", systemdTarget)
	}
	return b.String()
}

// exportHooks writes the command with those that systemd has a place for, too. It has
// none for a hook that is not run in the way of a start or an end.
func exportHooks(t *gaffer.Template, line func(name, value string)) {
	hooks := gaffer.Hooks{}
	if t.Hooks != nil {
		hooks = *t.Hooks
	}
	write := func(name string, c *gaffer.Command) {
		if c == nil {
			return
		}
		shell := t.Shell
		if c.Shell != nil {
			shell = *c.Shell
		}
		line(name, execStart(&gaffer.Template{Name: t.Name, Cmd: c.Cmd, Shell: shell}))
	}
	write("ExecStartPre", hooks.PreStart)
	line("ExecStart", execStart(t))
	write("ExecStartPost", hooks.PostStart)
	write("ExecStop", hooks.PreStop)
	write("ExecStop", t.StopCommand)
	write("ExecStopPost", hooks.PostStop)
}

func exportKillMode(t *gaffer.Template, line func(name, value string)) {
	if t.StopSequence != nil {
		line("KillSignal", t.StopSequence[0].Signal.String())
	}
	if t.KillMode == gaffer.KillMixed || t.KillMode == gaffer.KillProcess {
		line("KillMode", string(t.KillMode))
	}
}

func gracefulTimeout(t *gaffer.Template) time.Duration {
	if t.StopSequence != nil {
		return time.Duration(t.StopSequence[0].Wait)
	}
	if t.GracefulTimeout == nil {
		return gaffer.DefaultGracefulTimeout
	}
	return time.Duration(*t.GracefulTimeout)
}

func restartDelay(t *gaffer.Template) time.Duration {
	if t.Backoff != nil && t.Backoff.First != nil {
		return time.Duration(*t.Backoff.First)
	}
	return gaffer.DefaultBackoffFirst
}

// seconds is a duration as systemd's TimeoutStopSec wants it, where 0 would mean
// for ever.
func seconds(d time.Duration) string { return max(d, time.Millisecond).String() }

// execStart is the command of a template. systemd knows no ${NAME:-default} and
// splits what it replaces into words, so that a shell does what has variables.
func execStart(t *gaffer.Template) string {
	words := []string{t.Cmd}
	switch {
	case t.Shell:
		words = append([]string{"/bin/sh", "-c", t.Cmd, t.Name}, t.Args...)
		return systemdWords(words)
	case t.Args == nil:
		split, err := gaffer.SplitWords(t.Cmd)
		if err != nil {
			return systemdWords([]string{"/bin/sh", "-c", t.Cmd})
		}
		words = split
	default:
		words = append(words, t.Args...)
	}
	plain := true
	for i := range words {
		plain = plain && !strings.Contains(strings.ReplaceAll(words[i], "$$", ""), "$")
	}
	if plain {
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "$$", "$")
		}
		return systemdWords(words)
	}
	for i := range words {
		words[i] = shellText(words[i])
	}
	return systemdWords([]string{"/bin/sh", "-c", "exec " + strings.Join(words, " ")})
}

// shellText is a word in which a shell replaces what gaffer would, and nothing
// else, and which stays one word.
func shellText(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@%+") == "" {
		return word
	}
	return `"` + strings.NewReplacer(`$$`, `\$`, `\`, `\\`, `"`, `\"`, "`", "\\`").Replace(word) + `"`
}

func systemdWords(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = systemdWord(w, true)
	}
	return strings.Join(quoted, " ")
}

// systemdWord is a word of a line of a unit. dollars says that systemd would look
// for variables in it.
func systemdWord(word string, dollars bool) string {
	word = specifiers(word)
	if dollars {
		word = strings.ReplaceAll(word, "$", "$$")
	}
	if word != "" && !strings.ContainsAny(word, " \t\n\"'\\;") {
		return word
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(word) + `"`
}

// specifiers protects what systemd would replace.
func specifiers(s string) string { return strings.ReplaceAll(s, "%", "%%") }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Package nearest finds the known name that an unknown one was probably meant to
// be.
package nearest

import "strings"

// otherNames are the words that other process managers use, by ours.
var otherNames = map[string]string{
	"command": "cmd", "run": "cmd", "exec": "cmd", "script": "cmd", "program": "cmd",
	"arguments": "args", "argv": "args",
	"environment": "env", "environ": "env", "vars": "env",
	"env_file": "env_files", "envfile": "env_files", "environment_file": "env_files",
	"copy_env": "os_env", "directory": "cwd", "dir": "cwd", "working_dir": "cwd", "working_directory": "cwd", "workdir": "cwd",
	"user": "uid", "group": "gid",
	"numprocs": "numprocesses", "replicas": "numprocesses", "instances": "numprocesses", "count": "numprocesses", "scale": "numprocesses",
	"autostart": "start", "stopsignal": "stop_signal", "kill_signal": "stop_signal",
	"stopwaitsecs": "graceful_timeout", "stop_timeout": "graceful_timeout", "kill_timeout": "graceful_timeout",
	"processes": "process", "program:": "process", "services": "process", "service": "process", "watcher": "process",
}

// Name is the known name that an unknown one probably means, or "". Words of other
// process managers stand for ours.
func Name(name string, known []string) string {
	name = strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	for _, k := range known {
		if k == name || k == otherNames[name] {
			return k
		}
	}
	best, least := "", max(1, min(len(name)/3, 3))+1
	for _, k := range known {
		if d := distance(name, strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts the edits, swaps of neighbours included, from a to b.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return len(a) + len(b)
	}
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}

// Hint ends a message with the known name that was probably meant, or with
// all of them where there are few.
func Hint(name string, known []string) string {
	if k := Name(name, known); k != "" {
		return "; did you mean " + k + "?"
	}
	if len(known) > 0 && len(known) <= 6 {
		return "; known are " + strings.Join(known, ", ")
	}
	return ""
}

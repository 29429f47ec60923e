package gaffer

import (
	"encoding/json"
	"os"
	"strings"
	"time"
)

// Template says how to start a program, and how many of it should run. The
// fields have the same names in gaffer.toml and in JSON. A field that is not set
// has its default; those whose zero value means something are pointers, so that
// `NumProcesses: new(0)` differs from leaving it out.
type Template struct {
	// Name is "web", or "jobs:mail" for mail in group jobs. Required.
	Name string `json:"name" toml:"name,omitempty"`
	// Cmd is the program with its arguments, split into words as a shell does
	// (quotes, backslashes) without starting one; with Args, the program alone;
	// with Shell, the whole script. Required.
	Cmd string `json:"cmd" toml:"cmd"`
	// Args are the arguments; in text form a list, or one string that is split.
	Args Args `json:"args,omitzero" toml:"args,omitempty"`
	// Env beats EnvFiles, which beat the manager's own environment.
	Env map[string]string `json:"env,omitempty" toml:"env,omitempty"`
	// EnvFiles are read before Env; later files win.
	EnvFiles []string `json:"env_files,omitempty" toml:"env_files,omitempty"`
	// OSEnv passes the manager's environment on. Default true.
	OSEnv *bool `json:"os_env,omitempty" toml:"os_env,omitempty"`
	// Cwd is the working directory. Default: the file's directory for templates
	// from a file, else the manager's.
	Cwd string `json:"cwd,omitempty" toml:"cwd,omitempty"`
	// UID and GID are whom to run as, name or number. Default: the manager's.
	// The supplementary groups are set too; HOME, USER, LOGNAME and SHELL follow
	// unless Env has them.
	UID Account `json:"uid,omitempty" toml:"uid,omitempty"`
	GID Account `json:"gid,omitempty" toml:"gid,omitempty"`
	// Shell runs `sh -c` with Cmd as the script, which is left untouched.
	Shell bool `json:"shell,omitempty" toml:"shell,omitempty"`
	// Detach starts the program in its own session and leaves it alone: it is not
	// watched, not stopped with the manager, has no output and no exit event.
	Detach bool `json:"detach,omitempty" toml:"detach,omitempty"`
	// NumProcesses is how many should run. Default 1; 0 is allowed.
	NumProcesses *int `json:"numprocesses,omitempty" toml:"numprocesses,omitempty"`
	// Priority orders the start, lower first; the stop is in reverse. Default 0.
	Priority int `json:"priority,omitempty" toml:"priority,omitempty"`
	// Start starts the template when it is added. Default true.
	Start *bool `json:"start,omitempty" toml:"start,omitempty"`
	// Flapping says when crashes are too many, and what then. Default: off.
	Flapping *Flapping `json:"flapping,omitempty" toml:"flapping,omitempty"`
	// Backoff delays the replacement of what crashes. Default: on, unless
	// Flapping is set.
	Backoff *Backoff `json:"backoff,omitempty" toml:"backoff,omitempty"`
	// Restart says which ends that nobody asked for are followed by a new process:
	// all of them, those that are no success, or none. Default always.
	Restart RestartPolicy `json:"restart,omitempty" toml:"restart,omitempty"`
	// SuccessExitCodes are the exit statuses that are a success. An end by a signal is
	// none. Default 0 alone.
	SuccessExitCodes []int `json:"success_exit_codes,omitempty" toml:"success_exit_codes,omitempty"`
	// MaxRuntime is how long a process may run before it is stopped, which is no
	// success. A running process does not depend on it. Default: for ever.
	MaxRuntime Duration `json:"max_runtime,omitempty" toml:"max_runtime,omitempty"`
	// DependsOn is what it waits for before its processes are started, and which of it is
	// started with it and stopped after it: names of templates, and a condition each.
	DependsOn map[string]Condition `json:"depends_on,omitempty" toml:"depends_on,omitempty"`
	// OnLoss is what becomes of its processes when not one is left of those it depends on
	// for which the condition holds. Default "ignore".
	OnLoss LossAction `json:"on_loss,omitempty" toml:"on_loss,omitempty"`
	// FDStore is how many descriptors of a slot are kept at most that its processes give to
	// keep, by FDSTORE of sd_notify: the next process of the slot gets them. Default 0.
	FDStore int `json:"fdstore,omitempty" toml:"fdstore,omitempty"`
	// Rollout says how processes are replaced. Default: one after the other, each stopped
	// before its successor is started.
	Rollout *Rollout `json:"rollout,omitempty" toml:"rollout,omitempty"`
	// Ready says how it is known that a process is ready. Default: it is once it runs.
	Ready *Ready `json:"ready,omitempty" toml:"ready,omitempty"`
	// Health says how it is known that one still does well. Default: nothing is asked.
	Health *Health `json:"health,omitempty" toml:"health,omitempty"`
	// Schedule says when processes are run, instead of all the time; start waits for its
	// times. Default: none.
	Schedule *Schedule `json:"schedule,omitempty" toml:"schedule,omitempty"`
	// RedirectOutput labels stdout, then stderr. The same label twice merges
	// them; one label captures stdout and discards stderr; an empty list that is
	// not nil discards both. Default: "stdout", "stderr".
	RedirectOutput []string `json:"redirect_output,omitzero" toml:"redirect_output"`
	// Logs says where captured output is kept, and how much of it. Default: in files
	// of 10 MiB, five of each stream, by a daemon; else the last of it in memory.
	Logs *LogFiles `json:"logs,omitempty" toml:"logs,omitempty"`
	// RedirectInput makes stdin a pipe that can be written to. Default: the null
	// device.
	RedirectInput bool `json:"redirect_input,omitempty" toml:"redirect_input,omitempty"`
	// PTY gives the program a terminal of its own in the place of the three standard
	// streams. What it writes is one stream, "stdout". See docs/configuration.md.
	PTY bool `json:"pty,omitempty" toml:"pty,omitempty"`
	// CustomStreams labels further two-way streams, on the descriptors after 2.
	CustomStreams []string `json:"custom_streams,omitempty" toml:"custom_streams,omitempty"`
	// Sockets are the listening sockets that are opened for the template and passed to
	// each of its processes, from descriptor 3 on.
	Sockets []Socket `json:"sockets,omitempty" toml:"sockets,omitempty"`
	// OnDemand starts processes at the first connection on one of Sockets (Linux).
	OnDemand bool `json:"on_demand,omitempty" toml:"on_demand,omitempty"`
	// IdleTimeout is after how long without any connection processes that were started
	// on demand are stopped, until the next one. A running process does not depend on it.
	// Default: never.
	IdleTimeout *Duration `json:"idle_timeout,omitempty" toml:"idle_timeout,omitempty"`
	// Files are passed on to every process, after Sockets and before the custom
	// streams. They exist in Go only, and stay the caller's to close, once
	// the template is gone.
	Files []*os.File `json:"-" toml:"-"`
	// GracefulTimeout is the time between StopSignal and SIGKILL. Default 30s;
	// 0 kills at once.
	GracefulTimeout *Duration `json:"graceful_timeout,omitempty" toml:"graceful_timeout,omitempty"`
	// StopSignal asks a process to end. Default SIGTERM.
	StopSignal Signal `json:"stop_signal,omitzero" toml:"stop_signal,omitempty"`
	// StopCommand is run to ask a process to end, in the place of StopSignal; if it fails,
	// that is sent after all. GracefulTimeout begins when it is over. Default: none.
	StopCommand *Command `json:"stop_command,omitempty" toml:"stop_command,omitempty"`
	// StopSequence are signals and how long the effect of each is waited for before the
	// next one, and SIGKILL after the last, in the place of StopSignal and GracefulTimeout.
	StopSequence []StopStep `json:"stop_sequence,omitempty" toml:"stop_sequence,omitempty"`
	// KillMode says what of a process and of what it has started a stop asks and kills.
	// Default group: the process group is asked, everything is killed.
	KillMode KillMode `json:"kill_mode,omitempty" toml:"kill_mode,omitempty"`
	// Hooks are commands that are run before and after a start and an end. A running
	// process does not depend on them.
	Hooks *Hooks `json:"hooks,omitempty" toml:"hooks,omitempty"`
	// Port is the PORT of slot 1; each further slot gets one more. Default: none.
	Port int `json:"port,omitempty" toml:"port,omitempty"`
	// Limits bounds what each process may use. Default: as the manager itself.
	Limits *Limits `json:"limits,omitempty" toml:"limits,omitempty"`
	// Nice is the priority for the processors, -20 (most) to 19. Default: the manager's.
	Nice *int `json:"nice,omitempty" toml:"nice,omitempty"`
	// IOPrio is the class and level for disks: "realtime:0" to "best-effort:7", or
	// "idle" (Linux). Default: the manager's.
	IOPrio string `json:"ioprio,omitempty" toml:"ioprio,omitempty"`
	// CPUAffinity are the processors to run on, "0-3,6" (Linux). Default: the manager's.
	CPUAffinity string `json:"cpu_affinity,omitempty" toml:"cpu_affinity,omitempty"`
	// Umask are the rights that new files do not get, in octal. Default: the manager's.
	Umask string `json:"umask,omitempty" toml:"umask,omitempty"`
	// OOMScoreAdj is how ready the kernel is to kill it when memory is short, -1000
	// (never) to 1000 (Linux). Default: as the manager.
	OOMScoreAdj *int `json:"oom_score_adj,omitempty" toml:"oom_score_adj,omitempty"`
	// MaxMemory replaces a process that uses more, with all that it has started. That is
	// a crash. It is looked at every 2 seconds. A change replaces nothing. Default: no bound.
	MaxMemory Size `json:"max_memory,omitempty" toml:"max_memory,omitempty"`
	// Sandbox is what the processes are kept from (Linux). Default: nothing.
	Sandbox *Sandbox `json:"sandbox,omitempty" toml:"sandbox,omitempty"`
	// Watch restarts or signals the processes when files change. Default: off.
	Watch *Watch `json:"watch,omitempty" toml:"watch,omitempty"`
	// Scale changes the number of processes with what there is to do. Default: off.
	Scale *Autoscale `json:"scale,omitempty" toml:"scale,omitempty"`
	// ExitWith ends `gaffer up` when a process of this template ends by itself, with
	// that one's status. It means nothing anywhere else. Default false.
	ExitWith bool `json:"exit_with,omitempty" toml:"exit_with,omitempty"`
}

// Args are a program's arguments. In JSON and TOML they are a list, or one
// string that is split into words as a shell does.
type Args []string

// UnmarshalJSON accepts a list of strings or one string.
func (a *Args) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		words, err := SplitWords(s)
		if err != nil {
			return err
		}
		*a = words
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// Flapping says when the crashes of a template are too many, and what then: when
// Attempts of them, over all slots, fall within Window, nothing is replaced for
// RetryIn; after MaxRetry such pauses that helped nothing the template is
// stopped and failed.
type Flapping struct {
	Attempts int       `json:"attempts,omitempty" toml:"attempts,omitempty"`   // default 2
	Window   Duration  `json:"window,omitempty" toml:"window,omitempty"`       // default 1s
	RetryIn  *Duration `json:"retry_in,omitempty" toml:"retry_in,omitempty"`   // default 7s
	MaxRetry *int      `json:"max_retry,omitempty" toml:"max_retry,omitempty"` // default 5; -1: never give up; 0: the first time
}

// Backoff delays the replacement of a process that crashed: the first crash of a
// slot, and the first after a run of ResetAfter or longer, is replaced at once,
// the following ones after First, First×Factor, … and at most Max.
type Backoff struct {
	First      *Duration `json:"first,omitempty" toml:"first,omitempty"`             // default 100ms; 0 turns back-off off
	Factor     float64   `json:"factor,omitempty" toml:"factor,omitempty"`           // default 2; at least 1
	Max        *Duration `json:"max,omitempty" toml:"max,omitempty"`                 // default 30s
	Jitter     *float64  `json:"jitter,omitempty" toml:"jitter,omitempty"`           // default 0.1: up to a tenth more or less
	ResetAfter *Duration `json:"reset_after,omitempty" toml:"reset_after,omitempty"` // default 10s
}

// LogFiles says where the captured output of a template's processes is kept, and how
// much of it. The bounds are those of each stream of each slot. Without a daemon all
// is kept in memory.
type LogFiles struct {
	// To is "file", or "memory": then only the last 64 KiB of each process are there to
	// look at. Default "file".
	To string `json:"to,omitempty" toml:"to,omitempty"`
	// MaxSize is how large a file gets before the next one is begun, at the end of a
	// line. Default 10MiB; least 4KiB, most 1GiB.
	MaxSize Size `json:"max_size,omitempty" toml:"max_size,omitempty"`
	// MaxFiles is how many files there are, the one that is written included; the
	// oldest is removed for a new one. Default 5; least 2.
	MaxFiles int `json:"max_files,omitempty" toml:"max_files,omitempty"`
	// MaxTotal bounds what they take on the disk together. Default: nothing but the
	// other two.
	MaxTotal Size `json:"max_total,omitempty" toml:"max_total,omitempty"`
	// MaxAge is how long a file is kept that is written no more. Default: for ever.
	MaxAge Duration `json:"max_age,omitempty" toml:"max_age,omitempty"`
	// Compress compresses what is written no more. Default true.
	Compress *bool `json:"compress,omitempty" toml:"compress,omitempty"`
}

// Defaults of a template and of its tables.
const (
	DefaultGracefulTimeout   = 30 * time.Second
	DefaultFlappingAttempts  = 2
	DefaultFlappingWindow    = time.Second
	DefaultFlappingRetryIn   = 7 * time.Second
	DefaultFlappingMaxRetry  = 5
	DefaultBackoffFirst      = 100 * time.Millisecond
	DefaultBackoffFactor     = 2.0
	DefaultBackoffMax        = 30 * time.Second
	DefaultBackoffJitter     = 0.1
	DefaultBackoffResetAfter = 10 * time.Second
)

// Bounds and defaults of log files.
const (
	DefaultLogMaxSize  Size = 10 << 20
	DefaultLogMaxFiles      = 5

	leastLogMaxSize  Size = 4 << 10
	mostLogMaxSize   Size = 1 << 30
	leastLogMaxFiles      = 2
)

// LogsTo is where output is kept: "file" or "memory".
const (
	LogsToFile   = "file"
	LogsToMemory = "memory"
)

// inMemory says whether output is not to be kept in files.
func (l *LogFiles) inMemory() bool { return l != nil && l.To == LogsToMemory }

// MaxProcesses is the largest numprocesses a template may ask for.
const MaxProcesses = 100_000

// Group is the part of the name before the colon, "" when there is none.
func (t *Template) Group() string { return groupOf(t.Name) }

func groupOf(name string) string {
	group, _, found := strings.Cut(name, ":")
	if !found {
		return ""
	}
	return group
}

// CheckName tells what is wrong with a template's name.
func CheckName(name string) error {
	if group, member, found := strings.Cut(name, ":"); isWord(group) && (!found || isWord(member)) {
		return nil
	}
	return invalidf("name %q: want a letter, then up to 62 letters, digits, '_' or '-', with at most one \"group:\" of the same kind in front", name)
}

// isWord says whether s can be a name, or one side of a colon in it.
func isWord(s string) bool {
	if s == "" || len(s) > 63 || !isLetter(s[0]) {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !isWordByte(s[i]) {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func isWordByte(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9' || c == '_' || c == '-'
}

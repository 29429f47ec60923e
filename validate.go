package gaffer

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// FieldError is what is wrong with one field of a template. Field is its name in
// gaffer.toml and JSON, with dots in front of what a table has: "backoff.first".
type FieldError struct {
	Field string
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *FieldError) Unwrap() error { return e.Err }

// faults collects what is wrong with a template.
type faults []error

func (f *faults) add(field, format string, a ...any) {
	f.wrap(field, invalidf(format, a...))
}

func (f *faults) wrap(field string, err error) {
	if err != nil {
		*f = append(*f, &FieldError{field, err})
	}
}

func (f *faults) err() error { return errors.Join(*f...) }

// Validate tells everything that is wrong with the template as it is written,
// each as a *FieldError, joined. Whether the program, the directory and the user
// exist is checked when the template is added.
func (t *Template) Validate() error {
	var f faults
	f.wrap("name", CheckName(t.Name))
	t.validateCommand(&f)
	t.validateEnv(&f)
	t.validateStreams(&f)
	t.validateSockets(&f)
	t.validateOnDemand(&f)
	t.validateTerminal(&f)
	t.validateNumbers(&f)
	t.Flapping.validate(&f)
	t.Backoff.validate(&f)
	t.Logs.validate(&f)
	t.validatePolicy(&f)
	t.validateSchedule(&f)
	t.validateProbes(&f)
	t.validateFDStore(&f)
	t.validateDepends(&f)
	t.Rollout.validate(&f, t)
	t.validateLimits(&f)
	t.validateDevelopment(&f)
	t.validateStopping(&f)
	t.validateHooks(&f)
	t.validateRules(&f)
	return f.err()
}

func (t *Template) validateCommand(f *faults) {
	if strings.TrimSpace(t.Cmd) == "" {
		f.add("cmd", "is required")
	}
	if strings.ContainsRune(t.Cmd, 0) {
		f.add("cmd", "has a NUL byte")
	}
	if !t.Shell && t.Args == nil {
		if words, err := SplitWords(t.Cmd); err != nil {
			f.wrap("cmd", err)
		} else if len(words) > 0 && words[0] == "" {
			f.add("cmd", "the program is an empty word")
		}
	}
	for i, a := range t.Args {
		if strings.ContainsRune(a, 0) {
			f.add("args", "argument %d has a NUL byte", i+1)
		}
	}
	if strings.ContainsRune(t.Cwd, 0) {
		f.add("cwd", "has a NUL byte")
	}
}

func (t *Template) validateEnv(f *faults) {
	for _, name := range slices.Sorted(maps.Keys(t.Env)) {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			f.add("env", "%q can't be a variable's name", name)
		}
		if strings.ContainsRune(t.Env[name], 0) {
			f.add("env."+name, "has a NUL byte")
		}
	}
	for _, file := range t.EnvFiles {
		if file == "" || strings.ContainsRune(file, 0) {
			f.add("env_files", "%q can't be a file's name", file)
		}
	}
}

func (t *Template) validateStreams(f *faults) {
	if len(t.RedirectOutput) > 2 {
		f.add("redirect_output", "%d labels; want at most 2, for stdout and stderr", len(t.RedirectOutput))
	}
	for _, l := range t.RedirectOutput {
		checkLabel(f, "redirect_output", l)
	}
	if len(t.CustomStreams) > 64 {
		f.add("custom_streams", "%d labels; want at most 64", len(t.CustomStreams))
	}
	taken := slices.Clone(t.outputs())
	for _, l := range t.CustomStreams {
		checkLabel(f, "custom_streams", l)
		if slices.Contains(taken, l) {
			f.add("custom_streams", "label %q is used twice", l)
		}
		taken = append(taken, l)
	}
	if !t.Detach {
		return
	}
	if t.RedirectInput || len(t.CustomStreams) > 0 || len(t.RedirectOutput) > 0 {
		f.add("detach", "a detached program has no streams: leave out redirect_input, redirect_output and custom_streams")
	}
	if t.Logs != nil {
		f.add("detach", "a detached program has no output to keep: leave out logs")
	}
	if t.Flapping != nil || t.Backoff != nil {
		f.add("detach", "a detached program is not watched: leave out flapping and backoff")
	}
}

func checkLabel(f *faults, field, label string) {
	switch {
	case !isWord(label):
		f.add(field, "label %q: want a letter, then up to 62 letters, digits, '_' or '-'", label)
	case label == "stdin":
		f.add(field, "label %q is taken by the input", label)
	}
}

func (t *Template) validateNumbers(f *faults) {
	if n := t.wanted(); n < 0 {
		f.add("numprocesses", "%d: must not be negative", n)
	} else if n > MaxProcesses {
		f.add("numprocesses", "%d: more than %d", n, MaxProcesses)
	}
	if t.GracefulTimeout != nil && *t.GracefulTimeout < 0 {
		f.add("graceful_timeout", "%s: must not be negative", *t.GracefulTimeout)
	}
	if t.StopSignal < 0 || t.StopSignal > 64 {
		f.add("stop_signal", "%d: want a number from 1 to 64", int(t.StopSignal))
	}
	if t.Port < 0 || t.Port > 65535 {
		f.add("port", "%d: want 1 to 65535", t.Port)
	} else if n := t.wanted(); t.Port > 0 && n > 0 && n <= MaxProcesses && t.Port+n-1 > 65535 {
		f.add("port", "%d: with %d processes the last port is %d, beyond 65535", t.Port, n, t.Port+n-1)
	}
}

func (f *Flapping) validate(faults *faults) {
	if f == nil {
		return
	}
	if f.Attempts < 0 {
		faults.add("flapping.attempts", "%d: want at least 1", f.Attempts)
	}
	if f.Window < 0 {
		faults.add("flapping.window", "%s: must not be negative", f.Window)
	}
	if f.RetryIn != nil && *f.RetryIn < 0 {
		faults.add("flapping.retry_in", "%s: must not be negative", *f.RetryIn)
	}
	if f.MaxRetry != nil && *f.MaxRetry < -1 {
		faults.add("flapping.max_retry", "%d: want -1 (never give up), 0 or more", *f.MaxRetry)
	}
}

func (b *Backoff) validate(f *faults) {
	if b == nil {
		return
	}
	for field, d := range map[string]*Duration{"first": b.First, "max": b.Max, "reset_after": b.ResetAfter} {
		if d != nil && *d < 0 {
			f.add("backoff."+field, "%s: must not be negative", *d)
		}
	}
	if r := b.rule(); r.first > 0 && r.max < r.first {
		f.add("backoff.max", "%s: less than first, %s", r.max, r.first)
	}
	if b.Factor != 0 && (b.Factor < 1 || math.IsInf(b.Factor, 0) || math.IsNaN(b.Factor)) {
		f.add("backoff.factor", "%g: want at least 1", b.Factor)
	}
	if j := b.Jitter; j != nil && (!(*j >= 0) || *j > 1) {
		f.add("backoff.jitter", "%g: want 0 to 1", *j)
	}
}

func (l *LogFiles) validate(f *faults) {
	if l == nil {
		return
	}
	switch l.To {
	case "", LogsToFile:
	case LogsToMemory:
		if l.MaxSize != 0 || l.MaxFiles != 0 || l.MaxTotal != 0 || l.MaxAge != 0 || l.Compress != nil {
			f.add("logs.to", "in memory there are no files to bound: leave out max_size, max_files, max_total, max_age and compress")
		}
	default:
		f.add("logs.to", "%q: want file or memory; redirect_output = [] keeps nothing", l.To)
	}
	if l.MaxSize != 0 && (l.MaxSize < leastLogMaxSize || l.MaxSize > mostLogMaxSize) {
		f.add("logs.max_size", "%s: want %s to %s", l.MaxSize, leastLogMaxSize, mostLogMaxSize)
	}
	if l.MaxFiles != 0 && l.MaxFiles < leastLogMaxFiles {
		f.add("logs.max_files", "%d: want at least %d, the one that is written and one before it", l.MaxFiles, leastLogMaxFiles)
	}
	size := l.MaxSize
	if size == 0 {
		size = DefaultLogMaxSize
	}
	if l.MaxTotal < 0 || l.MaxTotal != 0 && l.MaxTotal < size {
		f.add("logs.max_total", "%s: less than one file, %s", l.MaxTotal, size)
	}
	if l.MaxAge < 0 {
		f.add("logs.max_age", "%s: must not be negative", l.MaxAge)
	}
}

// validateRules refuses flapping rules that back-off keeps from ever being met.
func (t *Template) validateRules(f *faults) {
	if t.Flapping == nil || t.Backoff == nil || len(*f) > 0 {
		return
	}
	rule, backoff := t.Flapping.rule(), t.Backoff.rule()
	n := max(t.wanted(), 1)
	each := (rule.attempts + n - 1) / n // what the busiest slot adds, at the least
	if least := backoff.shortest(each); backoff.first > 0 && least > rule.window {
		f.add("flapping.window", "%s: with this back-off %d crashes take at least %s, so they never fall within it",
			rule.window, rule.attempts, least.Round(time.Millisecond))
	}
}

// wanted is the number of processes the template asks for.
func (t *Template) wanted() int {
	if t.NumProcesses == nil && t.Scale != nil {
		return max(1, t.Scale.Least())
	}
	if t.NumProcesses == nil {
		return 1
	}
	return *t.NumProcesses
}

// outputs are the labels of stdout and stderr, as far as they are captured.
func (t *Template) outputs() []string {
	switch {
	case t.Detach:
		return nil
	case t.RedirectOutput == nil && t.PTY:
		return []string{"stdout"}
	case t.RedirectOutput == nil:
		return []string{"stdout", "stderr"}
	}
	return t.RedirectOutput
}

func (t *Template) starts() bool { return t.Start == nil || *t.Start }

func (t *Template) grace() time.Duration {
	if t.GracefulTimeout == nil {
		return DefaultGracefulTimeout
	}
	return time.Duration(*t.GracefulTimeout)
}

// backoff is the rule that holds: with flapping, back-off is off unless given.
func (t *Template) backoff() backoffRule {
	if t.Flapping != nil && t.Backoff == nil {
		return backoffRule{resetAfter: DefaultBackoffResetAfter}
	}
	return t.Backoff.rule()
}

// TemplateError is what is wrong with a template, or went wrong with it.
type TemplateError struct {
	Name string
	Err  error
}

func (e *TemplateError) Error() string { return "template " + e.Name + ": " + e.Err.Error() }
func (e *TemplateError) Unwrap() error { return e.Err }

// named puts the template in front of each fault.
func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return &TemplateError{name, err}
}

package gaffer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gafferpm/gaffer/internal/dotenv"
	"github.com/gafferpm/gaffer/internal/proc"
	"github.com/gafferpm/gaffer/internal/schedule"
)

// environment is the manager's own environment, read once: what os_env passes on.
type environment struct {
	list  []string // as os.Environ gives it, later duplicates left out
	names []string // names[i] is the name in list[i]
	value map[string]string
	dir   string // the manager's working directory, which relative ones start from
	uid   int    // whom the manager runs as
	// instance is the manager's part of the marks of its processes.
	instance string
}

// managersOwn are variables by which those that have started the manager speak with it:
// services speak with the manager.
var managersOwn = []string{
	"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
}

func newEnvironment(list []string, dir string) *environment {
	e := &environment{value: make(map[string]string, len(list)), dir: dir, uid: os.Geteuid()}
	for _, entry := range list {
		name, value, _ := strings.Cut(entry, "=")
		if _, taken := e.value[name]; taken || name == "" || slices.Contains(managersOwn, name) {
			continue
		}
		e.list = append(e.list, entry)
		e.names = append(e.names, name)
		e.value[name] = value
	}
	return e
}

// recipe is a template that was checked, with what is the same for each of its
// processes worked out. It is not changed after it was made.
type recipe struct {
	Template
	env     *environment
	account *account                // of uid and gid; nil: it has the manager's
	labels  []string                // by stream number; "" is not captured, or merged; not to be changed
	envSum  string                  // of what is in env_files, in hex; "": there are none
	rule    *schedule.Rule          // of its schedule; nil: it has none
	bounds  *atomic.Pointer[bounds] // of the latest start, shared by copies; nil: it has no limits
}

// account is whom the processes of a template run as. It is not changed.
type account struct {
	cred *proc.Cred
	vars map[string]string // HOME, USER, LOGNAME and SHELL of uid
	err  error             // why uid or gid could not be looked up; tried again at each start
}

// cred is whom processes run as, nil if that is the manager's user.
func (r *recipe) cred() *proc.Cred {
	if r.account == nil {
		return nil
	}
	return r.account.cred
}

// unresolved is why uid or gid could not be looked up.
func (r *recipe) unresolved() error {
	if r.account == nil {
		return nil
	}
	return r.account.err
}

// newRecipe checks a template and works it out. The error names the field.
func newRecipe(t Template, env *environment) (*recipe, error) {
	r, err := looseRecipe(t, env)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(r.unresolved(), r.checkOnDemand(), r.check()); err != nil {
		return nil, named(t.Name, err)
	}
	return r, nil
}

// looseRecipe is newRecipe for a template that need not be startable just now.
func looseRecipe(t Template, env *environment) (*recipe, error) {
	if err := t.Validate(); err != nil {
		return nil, named(t.Name, err)
	}
	r := &recipe{Template: t.clone(), env: env}
	r.labels, r.envSum = r.streamLabels(), r.sumEnvFiles()
	if r.Schedule != nil {
		r.rule = new(r.Schedule.rule())
	}
	r.resolveAccount()
	if r.limited() {
		r.bounds = new(atomic.Pointer[bounds])
		r.bounds.Store(r.newBounds(false))
	}
	return r, nil
}

// Check is Validate, and it tries everything of a start that can be tried
// without starting, in this program's environment: the program, the directory,
// the user and the variables.
func (t *Template) Check() error {
	env, err := ownEnvironment()
	if err != nil {
		return err
	}
	_, err = newRecipe(*t, env)
	return err
}

func ownEnvironment() (*environment, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	}
	return newEnvironment(os.Environ(), dir), nil
}

// clone is a copy that shares nothing with t that could be changed.
func (t *Template) clone() Template {
	c := *t
	c.Args = slices.Clone(t.Args)
	c.Env = maps.Clone(t.Env)
	c.EnvFiles = slices.Clone(t.EnvFiles)
	c.RedirectOutput = slices.Clone(t.RedirectOutput)
	c.CustomStreams = slices.Clone(t.CustomStreams)
	c.Sockets = slices.Clone(t.Sockets)
	c.Files = slices.Clone(t.Files)
	c.SuccessExitCodes = slices.Clone(t.SuccessExitCodes)
	c.DependsOn = maps.Clone(t.DependsOn)
	c.cloneLimits()
	c.Watch, c.Scale = t.Watch.clone(), t.Scale.clone()
	c.StopCommand, c.StopSequence, c.Hooks = t.StopCommand.clone(), slices.Clone(t.StopSequence), t.Hooks.clone()
	c.Schedule = t.Schedule.clone()
	return c
}

// sumEnvFiles tells apart what is in env_files. What can't be read is said when it
// is used.
func (r *recipe) sumEnvFiles() string {
	if len(r.EnvFiles) == 0 {
		return ""
	}
	h := sha256.New()
	for _, file := range r.EnvFiles {
		vars, err := dotenv.Read(file)
		fmt.Fprintln(h, len(vars), vars, err) // a map is printed in the order of its keys
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (r *recipe) resolveAccount() {
	if r.UID == "" && r.GID == "" {
		return
	}
	cred, user, err := proc.LookupCred(string(r.UID), string(r.GID))
	r.account = &account{cred: cred}
	switch {
	case err != nil:
		field := "uid"
		if _, _, e := proc.LookupCred(string(r.UID), ""); r.UID == "" || e == nil {
			field = "gid"
		}
		r.account.err = &FieldError{field, invalidf("%v", err)}
	case r.UID != "" && user != nil:
		vars := map[string]string{"HOME": user.Home, "USER": user.Name, "LOGNAME": user.Name, "SHELL": user.Shell}
		maps.DeleteFunc(vars, func(_, v string) bool { return v == "" })
		r.account.vars = vars
	}
}

// usualLabels are those of nearly all templates.
var usualLabels = []string{"stdin", "stdout", "stderr"}

// streamLabels are the labels by stream number: stdin's place is empty.
func (r *recipe) streamLabels() []string {
	out := r.outputs()
	if len(r.CustomStreams) == 0 && slices.Equal(out, usualLabels[1:]) {
		return usualLabels
	}
	labels := []string{"stdin", "", ""}
	copy(labels[1:], out)
	if r.merges() {
		labels[2] = ""
	}
	return append(labels, r.CustomStreams...)
}

func (r *recipe) merges() bool {
	out := r.outputs()
	return len(out) == 2 && out[0] == out[1]
}

// check tries everything of a start that can be tried without starting. Its
// errors are FieldErrors, joined.
func (r *recipe) check() error {
	spec, field, err := r.spec(1, 0)
	if err != nil {
		return &FieldError{field, err}
	}
	var f faults
	f.wrap("cwd", checkDir(spec.Dir))
	program, err := lookProgram(spec, spec.Args[0], r.env)
	if err != nil {
		f.add("cmd", "%v", err)
	}
	r.checkLimits(spec, program, &f)
	r.checkHooks(&f)
	r.checkProbes(&f)
	return errors.Join(f...)
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return invalidf("directory %s does not exist", dir)
	case err != nil:
		return invalidf("directory %s: %v", dir, errors.Unwrap(err))
	case !info.IsDir():
		return invalidf("%s is not a directory", dir)
	}
	return nil
}

// spec is how to start the process of that slot and id. The error comes with the
// field it is about.
func (r *recipe) spec(slot int, id uint64) (*proc.Spec, string, error) {
	vars, field, err := r.variables(slot, id)
	if err != nil {
		return nil, field, err
	}
	lookup := r.lookup(vars)
	argv, field, err := r.argv(lookup)
	if err != nil {
		return nil, field, err
	}
	dir, err := r.workDir(lookup)
	if err != nil {
		return nil, "cwd", err
	}
	outputs := r.outputs()
	spec := &proc.Spec{
		Args: argv, Env: r.environ(vars), Dir: dir, Cred: r.cred(),
		Outputs: len(outputs), Merge: r.merges(), Input: r.RedirectInput, Terminal: r.PTY,
		Streams: len(r.CustomStreams), Files: r.Files, Detach: r.Detach, Token: markName + "=" + r.mark(id),
		Notify: r.notifies(), ReadyFD: r.readyFD(),
		Spare: r.KillMode == KillProcess,
	}
	if field, err := r.limit(spec, lookup); err != nil {
		return nil, field, err
	}
	return spec, "", nil
}

// lookup finds a variable in those of a process, else in what is passed on to it.
func (r *recipe) lookup(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		if v, ok := vars[name]; ok {
			return v, true
		}
		return r.inherited(name)
	}
}

func (r *recipe) workDir(lookup func(string) (string, bool)) (string, error) {
	dir, err := expand(r.Cwd, lookup)
	if err == nil && !filepath.IsAbs(dir) {
		dir = filepath.Join(r.env.dir, dir)
	}
	return dir, err
}

// markName is the variable by which a process of ours, and what it starts, is
// known again. In a manager that is itself a process of another one the marks of
// both are in it, the outer one first.
const markName = "GAFFER_INSTANCE"

func (r *recipe) mark(id uint64) string {
	mark := r.env.instance + "." + strconv.FormatUint(id, 10)
	if r.KillMode == KillProcess {
		mark += spared
	}
	return mark
}

// spared is behind the mark of a process that leaves behind what is nobody's then.
const spared = "/spared"

// inherited is a variable of the manager's environment, if that is passed on.
func (r *recipe) inherited(name string) (string, bool) {
	if r.OSEnv != nil && !*r.OSEnv {
		return "", false
	}
	v, ok := r.env.value[name]
	return v, ok
}

// argv is the command as words: of a shell's script, of args, or of cmd itself.
func (r *recipe) argv(lookup func(string) (string, bool)) (argv []string, field string, err error) {
	if r.Shell {
		argv = []string{"/bin/sh", "-c", r.Cmd}
		if len(r.Args) > 0 {
			argv = append(argv, r.Name) // $0, so that the arguments are $1 and on
		}
	} else if argv, err = r.program(lookup); err != nil {
		return nil, "cmd", err
	}
	for _, a := range r.Args {
		word, err := expand(a, lookup)
		if err != nil {
			return nil, "args", err
		}
		argv = append(argv, word)
	}
	return argv, "", nil
}

// program is cmd as words; with args, it is one word.
func (r *recipe) program(lookup func(string) (string, bool)) ([]string, error) {
	words := []string{r.Cmd}
	if r.Args == nil {
		var err error
		if words, err = SplitWords(r.Cmd); err != nil {
			return nil, err
		}
	}
	for i, w := range words {
		var err error
		if words[i], err = expand(w, lookup); err != nil {
			return nil, err
		}
	}
	if words[0] == "" {
		return nil, invalidf("%q: the program is an empty word", r.Cmd)
	}
	return words, nil
}

// variables are those of the process's environment that are not just the
// manager's: env files, the user's, PORT, Env, and gaffer's own, later ones
// winning.
func (r *recipe) variables(slot int, id uint64) (vars map[string]string, field string, err error) {
	vars = make(map[string]string, 8+len(r.Env))
	for _, file := range r.EnvFiles {
		read, err := dotenv.Read(file)
		if err != nil {
			return nil, "env_files", invalidf("%v", err)
		}
		maps.Copy(vars, read)
	}
	if r.account != nil {
		maps.Copy(vars, r.account.vars)
	}
	if _, given := vars["TERM"]; r.PTY && !given {
		vars["TERM"] = defaultTerm
	}
	if r.Port > 0 {
		vars["PORT"] = strconv.Itoa(r.Port + slot - 1)
	}
	own := map[string]string{
		"GAFFER_NAME": r.Name, "GAFFER_SLOT": strconv.Itoa(slot),
		"GAFFER_ID": strconv.FormatUint(id, 10), markName: r.mark(id),
	}
	if r.Detach {
		delete(own, markName) // it is nobody's
	}
	if r.Health != nil && r.Health.Watchdog != 0 {
		own["WATCHDOG_USEC"] = strconv.FormatInt(time.Duration(r.Health.Watchdog).Microseconds(), 10)
	}
	if len(r.Sockets) > 0 {
		own["LISTEN_FDS"], own["LISTEN_FDNAMES"] = strconv.Itoa(len(r.Sockets)), strings.Join(r.socketNames(), ":")
	}
	before := maps.Clone(vars) // what values of Env see: not each other
	for name, text := range r.Env {
		value, err := expand(text, func(name string) (string, bool) {
			for _, m := range []map[string]string{own, before, r.env.value} {
				if v, ok := m[name]; ok {
					return v, true
				}
			}
			return "", false
		})
		if err != nil {
			return nil, "env." + name, err
		}
		vars[name] = value
	}
	maps.Copy(vars, own)
	return vars, "", nil
}

// environ is the whole environment of a process.
func (r *recipe) environ(vars map[string]string) []string {
	env := make([]string, 0, len(vars)+len(r.env.list))
	if r.OSEnv == nil || *r.OSEnv {
		for i, entry := range r.env.list {
			if _, replaced := vars[r.env.names[i]]; !replaced {
				env = append(env, entry)
			}
		}
	}
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	return env
}

// Environ is the environment that a process in slot 1 would have, in this
// program's environment; without GAFFER_ID, for it stands for no process.
func (t *Template) Environ() ([]string, error) {
	env, err := ownEnvironment()
	if err != nil {
		return nil, err
	}
	r, err := looseRecipe(*t, env)
	if err == nil {
		err = r.unresolved()
	}
	if err != nil {
		return nil, err
	}
	vars, field, err := r.variables(1, 0)
	if err != nil {
		return nil, named(t.Name, &FieldError{field, err})
	}
	for _, name := range []string{"GAFFER_ID", markName, "LISTEN_FDS", "LISTEN_FDNAMES"} {
		delete(vars, name)
	}
	return r.environ(vars), nil
}

// lookProgram finds the program in the PATH that the process will have, else in
// the manager's.
func lookProgram(spec *proc.Spec, program string, env *environment) (string, error) {
	path, found := "", false
	for _, entry := range spec.Env {
		if path, found = strings.CutPrefix(entry, "PATH="); found {
			break
		}
	}
	if !found {
		path = env.value["PATH"]
	}
	return proc.LookPath(program, path, spec.Dir, spec.Cred)
}

// resolved is the recipe with its user and group looked up.
func (r *recipe) resolved() (*recipe, error) {
	if r.unresolved() == nil {
		return r, nil
	}
	again := *r
	again.resolveAccount()
	return &again, again.unresolved()
}

// betterError is why a start has failed: what is in the way is said better by who looks
// for it.
func betterError(err error, spec *proc.Spec, env *environment) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		if _, e := lookProgram(spec, spec.Args[0], env); e != nil {
			return e
		}
	}
	return err
}

// ready makes a spec that can be started: with the program found.
func (r *recipe) ready(slot int, id uint64) (*proc.Spec, error) {
	r, err := r.resolved()
	if err != nil {
		return nil, err
	}
	if err := r.refreshBounds(); err != nil {
		return nil, err
	}
	spec, field, err := r.spec(slot, id)
	if err != nil {
		return nil, &FieldError{field, err}
	}
	spec.Path = spec.Args[0]
	if strings.Contains(spec.Path, "/") {
		return spec, nil // what is wrong with it, the start itself says
	}
	if spec.Path, err = lookProgram(spec, spec.Path, r.env); err != nil {
		return nil, err
	}
	return spec, nil
}

// sameProcess says whether a running process of r is as one of the new recipe
// would be: whether nothing changed that it depends on.
func (r *recipe) sameProcess(next *recipe) bool {
	a, b := r.Template, next.Template
	for _, t := range []*Template{&a, &b} {
		t.NumProcesses, t.Priority, t.Start, t.Flapping, t.Backoff = nil, 0, nil, nil, nil
		t.GracefulTimeout, t.StopSignal = nil, 0
		t.OnDemand, t.IdleTimeout = false, nil
		t.Restart, t.SuccessExitCodes, t.MaxRuntime, t.Schedule = "", nil, 0, nil
		t.StopCommand, t.StopSequence, t.Hooks = nil, nil, nil
		if t.KillMode != KillProcess {
			t.KillMode = ""
		}
		t.Ready, t.Health = t.channels()
		t.DependsOn, t.OnLoss, t.Rollout = nil, "", nil
		t.normalLimits()
		t.Watch, t.Scale, t.ExitWith = nil, nil, false
		if t.Logs.inMemory() {
			t.Logs = &LogFiles{To: LogsToMemory}
		} else {
			t.Logs = nil
		}
		t.OSEnv = new(t.OSEnv == nil || *t.OSEnv)
		t.RedirectOutput, t.RedirectInput = t.outputs(), t.RedirectInput && !t.PTY
		if len(t.Env) == 0 {
			t.Env = nil
		}
		t.EnvFiles, t.CustomStreams, t.Files = orNil(t.EnvFiles), orNil(t.CustomStreams), orNil(t.Files)
	}
	if !sameSockets(a.Sockets, b.Sockets) {
		return false
	}
	a.Sockets, b.Sockets = nil, nil // of which the rest is no process's business
	return r.envSum == next.envSum && reflect.DeepEqual(a, b)
}

// orNil makes an empty list one that is not there.
func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func (r *recipe) stopSignal() syscall.Signal {
	if r.StopSignal == 0 {
		return syscall.SIGTERM
	}
	return syscall.Signal(r.StopSignal)
}

// launchError is why a process can't be started, in words.
func launchError(err error) string {
	var e *FieldError
	if errors.As(err, &e) {
		return fmt.Sprintf("can't be started: %v", e)
	}
	return fmt.Sprintf("can't be started: %v", err)
}

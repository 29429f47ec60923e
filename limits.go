package gaffer

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// Limits bounds what each process of a template may use. A field that is not set
// leaves what the manager itself has.
type Limits struct {
	// Those of the kernel's setrlimit, each for a process by itself and for each that
	// it starts: a number or a size, "unlimited", or a soft and a hard one, as
	// "1024:65536". A single one is both.
	NoFile     Rlimit `json:"nofile,omitempty" toml:"nofile,omitempty"`         // descriptors
	NProc      Rlimit `json:"nproc,omitempty" toml:"nproc,omitempty"`           // processes and threads of the user
	Core       Rlimit `json:"core,omitempty" toml:"core,omitempty"`             // size of a core file; 0: none is written
	CPUTime    Rlimit `json:"cpu_time,omitempty" toml:"cpu_time,omitempty"`     // processor time, in seconds or as "1h"
	FSize      Rlimit `json:"fsize,omitempty" toml:"fsize,omitempty"`           // size of a file that is written
	Stack      Rlimit `json:"stack,omitempty" toml:"stack,omitempty"`           // size of the stack
	AS         Rlimit `json:"as,omitempty" toml:"as,omitempty"`                 // size of the address space
	Data       Rlimit `json:"data,omitempty" toml:"data,omitempty"`             // size of the data segment
	MemLock    Rlimit `json:"memlock,omitempty" toml:"memlock,omitempty"`       // size of what is locked in memory
	SigPending Rlimit `json:"sigpending,omitempty" toml:"sigpending,omitempty"` // signals that wait
	MsgQueue   Rlimit `json:"msgqueue,omitempty" toml:"msgqueue,omitempty"`     // size of POSIX message queues
	RTPrio     Rlimit `json:"rtprio,omitempty" toml:"rtprio,omitempty"`         // real-time priority

	// Those of a cgroup of its own, for a process together with all that it starts.
	Memory Size    `json:"memory,omitempty" toml:"memory,omitempty"` // what is more is killed; least 1MiB
	CPU    float64 `json:"cpu,omitempty" toml:"cpu,omitempty"`       // processors, as 1.5; least 0.01
	Pids   int     `json:"pids,omitempty" toml:"pids,omitempty"`     // processes and threads

	// BestEffort has what this system can't do be left out and told in the status, also
	// of Nice, IOPrio, CPUAffinity and OOMScoreAdj; else it is an error.
	BestEffort bool `json:"best_effort,omitempty" toml:"best_effort,omitempty"`
}

// Sandbox is what the processes of a template are kept from (Linux).
type Sandbox struct {
	// NoNewPrivs: no program that it executes gives it more rights than it has, as
	// setuid ones would. ReadPaths and WritePaths bring it along.
	NoNewPrivs bool `json:"no_new_privs,omitempty" toml:"no_new_privs,omitempty"`
	// Capabilities are all that it may have and get, "net_bind_service" for example; an
	// ordinary user is given them. An empty list that is not nil leaves none. Default: as
	// the manager's and the user's are.
	Capabilities []string `json:"capabilities,omitzero" toml:"capabilities"`
	// ReadPaths and WritePaths are all that it may read and execute, and all that it may
	// change (and read), with what is below; beside the system's own files, its
	// program and its streams. Variables are replaced; relative ones start from Cwd.
	// Default: everything.
	ReadPaths  []string `json:"read_paths,omitempty" toml:"read_paths,omitempty"`
	WritePaths []string `json:"write_paths,omitempty" toml:"write_paths,omitempty"`
	// PrivateTmp gives each process a /tmp and /var/tmp of its own, in memory.
	PrivateTmp bool `json:"private_tmp,omitempty" toml:"private_tmp,omitempty"`
	// BestEffort has what this system can't do be left out and told in the status.
	BestEffort bool `json:"best_effort,omitempty" toml:"best_effort,omitempty"`
}

// Rlimit is a limit as it is written: "65536", "8MiB", "unlimited", "1024:65536".
type Rlimit string

// UnmarshalText accepts any text; what it means depends on what is limited.
func (r *Rlimit) UnmarshalText(b []byte) error { *r = Rlimit(b); return nil }

// UnmarshalJSON accepts a string or a number.
func (r *Rlimit) UnmarshalJSON(b []byte) error { return unmarshalScalar(b, r.UnmarshalText) }

// LimitStatus is what became of one limit of a template.
type LimitStatus struct {
	Field   string `json:"field"` // "limits.memory"
	Value   string `json:"value"`
	By      string `json:"by,omitempty"`      // what makes it hold
	Missing string `json:"missing,omitempty"` // why it does not hold, with best_effort
}

// unlimited are the words for a limit that does not limit.
var unlimited = []string{"unlimited", "infinity"}

// rlimits are a table's limits by their names, in order.
func (l *Limits) rlimits() []namedRlimit {
	if l == nil {
		return nil
	}
	list := []namedRlimit{
		{"nofile", l.NoFile, rlimitCount}, {"nproc", l.NProc, rlimitCount}, {"core", l.Core, rlimitSize}, {"cpu_time", l.CPUTime, rlimitTime},
		{"fsize", l.FSize, rlimitSize}, {"stack", l.Stack, rlimitSize}, {"as", l.AS, rlimitSize}, {"data", l.Data, rlimitSize},
		{"memlock", l.MemLock, rlimitSize}, {"sigpending", l.SigPending, rlimitCount}, {"msgqueue", l.MsgQueue, rlimitSize}, {"rtprio", l.RTPrio, rlimitCount},
	}
	return slices.DeleteFunc(list, func(n namedRlimit) bool { return n.text == "" })
}

type namedRlimit struct {
	name  string
	text  Rlimit
	parse func(string) (uint64, error)
}

func (n *namedRlimit) limit() (proc.Rlimit, error) {
	soft, hard, two := strings.Cut(string(n.text), ":")
	if !two {
		hard = soft
	}
	r := proc.Rlimit{Name: n.name}
	for text, to := range map[*string]*uint64{&soft: &r.Soft, &hard: &r.Hard} {
		var err error
		switch *to, err = n.parse(strings.TrimSpace(*text)); {
		case slices.Contains(unlimited, strings.TrimSpace(*text)):
			*to = proc.Unlimited
		case err != nil:
			return r, err
		}
	}
	if r.Soft > r.Hard {
		return r, invalidf("%s: the soft limit, in front, is more than the hard one", n.text)
	}
	return r, nil
}

func rlimitCount(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, invalidf("%q: want a number, \"unlimited\", or a soft and a hard one as 1024:65536", text)
	}
	return n, nil
}

func rlimitSize(text string) (uint64, error) {
	var s Size
	if err := s.UnmarshalText([]byte(text)); err != nil {
		return 0, invalidf("%q: want a size such as \"8MiB\", \"unlimited\", or a soft and a hard one as 8MiB:1GiB", text)
	}
	return uint64(s), nil
}

func rlimitTime(text string) (uint64, error) {
	var d Duration
	if err := d.UnmarshalText([]byte(text)); err != nil {
		return 0, invalidf("%q: want a time such as \"10m\", a number of seconds, \"unlimited\", or a soft and a hard one as 10m:11m", text)
	}
	return uint64(math.Ceil(time.Duration(d).Seconds())), nil
}

// Bounds of limits.
const (
	leastMemory  Size = 1 << 20
	leastCPU          = 0.01
	mostCPU           = proc.MostCPUs
	leastNice         = -20
	mostNice          = 19
	mostOOMScore      = 1000
	mostUmask         = 0o777
)

// grouped are the fields that need a cgroup.
func (l *Limits) grouped() (fields []string) {
	if l == nil {
		return nil
	}
	if l.Memory != 0 {
		fields = append(fields, "limits.memory")
	}
	if l.CPU != 0 {
		fields = append(fields, "limits.cpu")
	}
	if l.Pids != 0 {
		fields = append(fields, "limits.pids")
	}
	return fields
}

func (t *Template) validateLimits(f *faults) {
	t.Limits.validate(f, 3+len(t.Files)+len(t.CustomStreams))
	t.Sandbox.validate(f)
	if t.Nice != nil && (*t.Nice < leastNice || *t.Nice > mostNice) {
		f.add("nice", "%d: want %d, the most of the processors, to %d", *t.Nice, leastNice, mostNice)
	}
	if t.OOMScoreAdj != nil && (*t.OOMScoreAdj < -mostOOMScore || *t.OOMScoreAdj > mostOOMScore) {
		f.add("oom_score_adj", "%d: want %d, never killed, to %d", *t.OOMScoreAdj, -mostOOMScore, mostOOMScore)
	}
	if t.IOPrio != "" {
		if _, err := proc.ParseIOPrio(t.IOPrio); err != nil {
			f.add("ioprio", "%v", err)
		}
	}
	if t.CPUAffinity != "" {
		if _, err := proc.ParseCPUs(t.CPUAffinity); err != nil {
			f.add("cpu_affinity", "%v", err)
		}
	}
	if t.Umask != "" {
		if _, err := parseUmask(t.Umask); err != nil {
			f.wrap("umask", err)
		}
	}
	if t.MaxMemory != 0 && t.MaxMemory < leastMemory {
		f.add("max_memory", "%s: less than %s", t.MaxMemory, leastMemory)
	}
	if !t.Detach {
		return
	}
	if t.MaxMemory != 0 || len(t.Limits.grouped()) > 0 {
		f.add("detach", "a detached program is not watched: leave out max_memory, limits.memory, limits.cpu and limits.pids")
	}
}

func (l *Limits) validate(f *faults, descriptors int) {
	if l == nil {
		return
	}
	for _, n := range l.rlimits() {
		r, err := n.limit()
		f.wrap("limits."+n.name, err)
		if err == nil && n.name == "nofile" && r.Soft < uint64(descriptors) {
			f.add("limits.nofile", "%d: less than the %d that it is started with", r.Soft, descriptors)
		}
	}
	if l.Memory != 0 && l.Memory < leastMemory {
		f.add("limits.memory", "%s: less than %s", l.Memory, leastMemory)
	}
	if l.CPU != 0 && !(l.CPU >= leastCPU && l.CPU <= mostCPU) {
		f.add("limits.cpu", "%g: want a number of processors, at least %g", l.CPU, leastCPU)
	}
	if l.Pids < 0 {
		f.add("limits.pids", "%d: want at least 1", l.Pids)
	}
}

func (s *Sandbox) validate(f *faults) {
	if s == nil {
		return
	}
	seen := map[int]bool{}
	for _, name := range s.Capabilities {
		n, known := proc.Capability(name)
		switch {
		case !known:
			f.add("sandbox.capabilities", "%q: unknown; want a name such as net_bind_service", name)
		case seen[n]:
			f.add("sandbox.capabilities", "%q is there twice", name)
		}
		seen[n] = true
	}
	for field, paths := range map[string][]string{"sandbox.read_paths": s.ReadPaths, "sandbox.write_paths": s.WritePaths} {
		for _, path := range paths {
			if path == "" || strings.ContainsRune(path, 0) {
				f.add(field, "%q can't be a path", path)
			}
		}
	}
}

func parseUmask(text string) (int, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	if err != nil || n > mostUmask {
		return 0, invalidf("%q: want octal digits such as \"027\"", text)
	}
	return int(n), nil
}

// bounds are a recipe's limits, as they are here.
type bounds struct {
	limits  *proc.Limits // without paths; nil: there are none
	inForce []LimitStatus
	missing bool  // something can't be done
	tried   bool  // what needs a cgroup was arranged
	lacking error // FieldErrors of what can't be done and was not to be left out, joined
}

// newBounds works out what is set for the processes of a template. It must be valid.
// start says that a process is to be started: then the cgroups are arranged for it.
func (t *Template) newBounds(start bool) *bounds {
	l, b := &proc.Limits{}, &bounds{tried: start}
	says := func(field, value, by string) {
		b.inForce = append(b.inForce, LimitStatus{Field: field, Value: value, By: by})
	}
	for _, n := range t.Limits.rlimits() {
		r, err := n.limit()
		if err != nil {
			continue // it would not be valid
		}
		l.Rlimits = append(l.Rlimits, r)
		says("limits."+n.name, string(n.text), proc.ByRlimit)
	}
	if limits := t.Limits; limits != nil {
		if limits.Memory > 0 {
			l.Memory = uint64(limits.Memory)
			says("limits.memory", limits.Memory.String(), proc.ByCgroup)
		}
		if limits.CPU > 0 {
			l.CPU = uint64(limits.CPU * proc.CPUPeriod)
			says("limits.cpu", strconv.FormatFloat(limits.CPU, 'g', -1, 64), proc.ByCgroup)
		}
		if limits.Pids > 0 {
			l.Pids = uint64(limits.Pids)
			says("limits.pids", strconv.Itoa(limits.Pids), proc.ByCgroup)
		}
	}
	if t.Nice != nil {
		l.Nice = t.Nice
		says("nice", strconv.Itoa(*t.Nice), "setpriority")
	}
	if n, err := proc.ParseIOPrio(t.IOPrio); err == nil {
		l.IOPrio = n
		says("ioprio", t.IOPrio, "ioprio_set")
	}
	if cpus, err := proc.ParseCPUs(t.CPUAffinity); err == nil {
		l.CPUs = cpus
		says("cpu_affinity", t.CPUAffinity, "sched_setaffinity")
	}
	if mask, err := parseUmask(t.Umask); err == nil {
		l.Umask = &mask
		says("umask", t.Umask, "umask")
	}
	if t.OOMScoreAdj != nil {
		l.OOMScoreAdj = t.OOMScoreAdj
		says("oom_score_adj", strconv.Itoa(*t.OOMScoreAdj), "/proc")
	}
	t.Sandbox.bound(l, says)
	if len(b.inForce) > 0 {
		b.settle(l, t)
	}
	if t.MaxMemory > 0 {
		says("max_memory", t.MaxMemory.String(), fmt.Sprintf("looked at every %s", memoryInterval))
	}
	return b
}

func (s *Sandbox) bound(l *proc.Limits, says func(field, value, by string)) {
	if s == nil {
		return
	}
	if s.NoNewPrivs {
		l.NoNewPrivs = true
		says("sandbox.no_new_privs", "true", "prctl")
	}
	if s.Capabilities != nil {
		l.KeepCaps = true
		names := []string{}
		for _, name := range s.Capabilities {
			if n, known := proc.Capability(name); known {
				l.Caps, names = append(l.Caps, n), append(names, proc.CapabilityName(n))
			}
		}
		value := strings.Join(names, " ")
		if value == "" {
			value = "none"
		}
		l.Settle()
		by := "bounding set"
		if !l.BoundCaps {
			by = "no_new_privs"
		}
		says("sandbox.capabilities", value, by)
	}
	for field, paths := range map[string][]string{"sandbox.read_paths": s.ReadPaths, "sandbox.write_paths": s.WritePaths} {
		if len(paths) > 0 {
			l.Landlock = true
			says(field, strings.Join(paths, " "), proc.ByLandlock)
		}
	}
	if s.PrivateTmp {
		l.PrivateTmp = true
		says("sandbox.private_tmp", "true", "mount namespace")
	}
}

// settle finds out what of l can't be done here, and leaves that out where that is
// asked for.
func (b *bounds) settle(l *proc.Limits, t *Template) {
	slices.SortStableFunc(b.inForce, func(x, y LimitStatus) int { // of maps
		return strings.Compare(pathsLast(x.Field), pathsLast(y.Field))
	})
	b.limits = l
	var left []proc.Lack
	var f faults
	lacks := l.Lacks()
	if b.tried {
		lacks = append(lacks, l.Arrange(lacks)...)
	}
	b.missing = len(lacks) > 0
	for _, lack := range lacks {
		best := t.Limits != nil && t.Limits.BestEffort
		if strings.HasPrefix(lack.Field, "sandbox.") {
			best = t.Sandbox.BestEffort
		}
		if !best {
			f.add(lack.Field, "%v", lack.Err)
			continue
		}
		left = append(left, lack)
	}
	b.lacking = errors.Join(f...)
	l.Without(left)
	for _, lack := range lacks {
		for i := range b.inForce {
			if s := &b.inForce[i]; s.Field == lack.Field || s.By == proc.ByLandlock && isPaths(lack.Field) {
				s.By, s.Missing = "", lack.Err.Error()
			}
		}
	}
}

func isPaths(field string) bool {
	return field == "sandbox.read_paths" || field == "sandbox.write_paths"
}

// pathsLast orders what comes out of a map, and leaves the rest as it is.
func pathsLast(field string) string {
	if isPaths(field) {
		return field
	}
	return ""
}

// refreshBounds looks again for what could not be done, before a start.
func (r *recipe) refreshBounds() error {
	if !r.limited() {
		return nil
	}
	b := r.bounds.Load()
	if b.missing || !b.tried && len(r.Limits.grouped()) > 0 {
		b = r.newBounds(true)
		r.bounds.Store(b)
	}
	return b.lacking
}

// limited says whether a template has any of these fields.
func (t *Template) limited() bool {
	return t.Limits != nil || t.Sandbox != nil || t.Nice != nil || t.OOMScoreAdj != nil || t.IOPrio != "" || t.CPUAffinity != "" || t.Umask != "" || t.MaxMemory != 0
}

// limitsInForce are the limits of the template, as they were found at the latest start.
func (r *recipe) limitsInForce() []LimitStatus {
	if !r.limited() {
		return nil
	}
	return r.bounds.Load().inForce
}

// limit puts a recipe's limits into a spec. The error comes with the field it is about.
func (r *recipe) limit(spec *proc.Spec, lookup func(string) (string, bool)) (field string, err error) {
	if !r.limited() || r.bounds.Load().limits == nil {
		return "", nil
	}
	l := *r.bounds.Load().limits
	spec.Limits = &l
	if !l.Landlock {
		return "", nil
	}
	if l.Read, err = r.paths(r.Sandbox.ReadPaths, spec.Dir, lookup); err != nil {
		return "sandbox.read_paths", err
	}
	if l.Write, err = r.paths(r.Sandbox.WritePaths, spec.Dir, lookup); err != nil {
		return "sandbox.write_paths", err
	}
	return "", nil
}

func (r *recipe) paths(texts []string, dir string, lookup func(string) (string, bool)) ([]string, error) {
	paths := make([]string, 0, len(texts))
	for _, text := range texts {
		path, err := expand(text, lookup)
		if err != nil {
			return nil, err
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// checkLimits tells what is wrong with the limits of a spec that could be started
// otherwise.
func (r *recipe) checkLimits(spec *proc.Spec, program string, f *faults) {
	if !r.limited() {
		return
	}
	if lacking := r.bounds.Load().lacking; lacking != nil {
		*f = append(*f, lacking)
	}
	l := spec.Limits
	if l == nil {
		return
	}
	for field, paths := range map[string][]string{"sandbox.read_paths": l.Read, "sandbox.write_paths": l.Write} {
		for _, path := range paths {
			if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
				f.add(field, "%s does not exist", path)
			}
		}
	}
	if !l.PrivateTmp {
		return
	}
	for what, path := range map[string]string{"the program": program, "the working directory": spec.Dir} {
		if path != "" && (inTmp(path)) {
			f.add("sandbox.private_tmp", "%s, %s, would not be there", what, path)
		}
	}
}

// inTmp says whether a path is hidden by a private /tmp.
func inTmp(path string) bool {
	path = filepath.Clean(path)
	for _, dir := range []string{"/tmp", "/var/tmp"} {
		if strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

// cloneLimits is the part of clone that is about limits.
func (t *Template) cloneLimits() {
	t.Nice, t.OOMScoreAdj, t.Limits, t.Sandbox = copyOf(t.Nice), copyOf(t.OOMScoreAdj), copyOf(t.Limits), copyOf(t.Sandbox)
	if s := t.Sandbox; s != nil {
		s.Capabilities, s.ReadPaths, s.WritePaths = slices.Clone(s.Capabilities), slices.Clone(s.ReadPaths), slices.Clone(s.WritePaths)
	}
}

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}

// normalLimits makes those equal that mean the same for a running process.
func (t *Template) normalLimits() {
	t.MaxMemory = 0
	if t.Limits != nil && *t.Limits == (Limits{BestEffort: t.Limits.BestEffort}) {
		t.Limits = nil
	}
	if s := t.Sandbox; s != nil {
		c := *s
		c.ReadPaths, c.WritePaths = orNil(s.ReadPaths), orNil(s.WritePaths)
		t.Sandbox = &c
	}
}

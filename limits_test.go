package gaffer

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gafferpm/gaffer/internal/proc"
)

func TestLimitsThatCannotBeAreNamed(t *testing.T) {
	for _, c := range []struct {
		template Template
		fields   []string
	}{
		{Template{Limits: &Limits{NoFile: "many", NProc: "-1", Core: "big", CPUTime: "soon", FSize: "10XB", RTPrio: "1:2:3"}},
			[]string{"limits.core", "limits.cpu_time", "limits.fsize", "limits.nofile", "limits.nproc", "limits.rtprio"}},
		{Template{Limits: &Limits{NoFile: "100:64", Stack: "unlimited:8MiB"}}, []string{"limits.nofile", "limits.stack"}},
		{Template{Limits: &Limits{NoFile: "3"}, CustomStreams: []string{"a"}}, []string{"limits.nofile"}},
		{Template{Limits: &Limits{Memory: 512, CPU: -1, Pids: -1}}, []string{"limits.cpu", "limits.memory", "limits.pids"}},
		{Template{Limits: &Limits{CPU: 0.001}, MaxMemory: 7}, []string{"limits.cpu", "max_memory"}},
		{Template{Nice: new(20), OOMScoreAdj: new(-1001), IOPrio: "best", CPUAffinity: "3-1", Umask: "9"}, []string{"cpu_affinity", "ioprio", "nice", "oom_score_adj", "umask"}},
		{Template{Sandbox: &Sandbox{Capabilities: []string{"chown", "CAP_CHOWN"}, ReadPaths: []string{""}, WritePaths: []string{"a\x00"}}}, []string{"sandbox.capabilities", "sandbox.read_paths", "sandbox.write_paths"}},
		{Template{Sandbox: &Sandbox{Capabilities: []string{"fly"}}}, []string{"sandbox.capabilities"}},
		{Template{Detach: true, MaxMemory: 1 << 30}, []string{"detach"}},
		{Template{Detach: true, Limits: &Limits{Pids: 5}}, []string{"detach"}},
		{Template{Detach: true, Limits: &Limits{NoFile: "100"}, Sandbox: &Sandbox{}, Nice: new(0)}, nil},
		{Template{Limits: &Limits{NoFile: "64:100", Stack: "8MiB:unlimited", CPUTime: "infinity", Memory: 1 << 20, CPU: 0.01, Pids: 1}, Umask: "0o777", CPUAffinity: "0,2-4"}, nil},
	} {
		c.template.Name, c.template.Cmd = "web", "x"
		var got []string
		if joined, ok := c.template.Validate().(interface{ Unwrap() []error }); ok {
			for _, err := range joined.Unwrap() {
				var f *FieldError
				if !errors.As(err, &f) || !errors.Is(err, ErrInvalid) {
					t.Errorf("fault %v", err)
					continue
				}
				got = append(got, f.Field)
			}
		}
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, c.fields) {
			t.Errorf("faults of %v, want %v", got, c.fields)
		}
	}
}

func TestLimitsBecomeThoseOfASpec(t *testing.T) {
	dir := t.TempDir()
	r, err := looseRecipe(Template{
		Name: "web", Cmd: "x", Cwd: dir, Env: map[string]string{"DATA": "/data"}, Nice: new(5), IOPrio: "best-effort:6", CPUAffinity: "0", Umask: "027", OOMScoreAdj: new(900),
		Limits: &Limits{NoFile: "64:100", Core: "0", CPUTime: "1500ms", Stack: "8MiB"},
	}, newEnvironment(nil, "/base"))
	if err != nil {
		t.Fatal(err)
	}
	spec, field, err := r.spec(1, 1)
	if err != nil {
		t.Fatal(field, err)
	}
	want := &proc.Limits{
		Rlimits: []proc.Rlimit{{Name: "nofile", Soft: 64, Hard: 100}, {Name: "core"}, {Name: "cpu_time", Soft: 2, Hard: 2}, {Name: "stack", Soft: 8 << 20, Hard: 8 << 20}},
		Nice:    new(5), IOPrio: 2<<13 | 6, CPUs: []int{0}, Umask: new(0o27), OOMScoreAdj: new(900),
	}
	if runtime.GOOS == "linux" && !reflect.DeepEqual(spec.Limits, want) {
		t.Errorf("got  %+v\nwant %+v", spec.Limits, want)
	}
	plain, err := looseRecipe(Template{Name: "web", Cmd: "x", MaxMemory: 1 << 30, Limits: &Limits{BestEffort: true}, Sandbox: &Sandbox{}}, newEnvironment(nil, "/base"))
	if err != nil {
		t.Fatal(err)
	}
	if spec, _, err := plain.spec(1, 1); err != nil || spec.Limits != nil {
		t.Errorf("limits of nothing: %+v, %v", spec.Limits, err)
	}
}

// missing is a template that asks for what no system can do, and the field.
func missing(best bool) (Template, string) {
	return Template{Name: "web", Cmd: "sleep 1000", Limits: &Limits{NoFile: "unlimited", Core: "0", BestEffort: best}}, "limits.nofile"
}

func TestWhatTheSystemCannotDoIsRefused(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere there may be no bound of descriptors")
	}
	r := newReal(t, Options{})
	bad, field := missing(false)
	err := r.Add(r.ctx, bad)
	var f *FieldError
	if !errors.Is(err, ErrInvalid) || !errors.As(err, &f) || f.Field != field {
		t.Errorf("add: %v", err)
	}
	r.ok(r.Add(r.ctx, program("web", "sleep")))
	if err := r.Update(r.ctx, bad); !errors.Is(err, ErrInvalid) {
		t.Errorf("update: %v", err)
	}
	bad.Name = "loaded"
	r.ok(r.Load(r.ctx, bad))
	if st := r.status("loaded"); st.State != InBackoff || !strings.Contains(st.Reason, "limits.nofile: ") {
		t.Errorf("status %+v", st)
	}
}

func TestBestEffortTellsWhatIsMissing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere there may be no bound of descriptors")
	}
	r := newReal(t, Options{})
	best, _ := missing(true)
	best.Nice = new(3)
	r.ok(r.Add(r.ctx, best))
	st := r.status("web")
	if st.Running != 1 || len(st.Limits) != 3 {
		t.Fatalf("status %+v", st)
	}
	for i, want := range []LimitStatus{{Field: "limits.nofile", Value: "unlimited"}, {Field: "limits.core", Value: "0", By: "rlimit"}, {Field: "nice", Value: "3", By: "setpriority"}} {
		got := st.Limits[i]
		if (got.Missing != "") != (want.By == "") {
			t.Errorf("got %+v, want %+v", got, want)
		}
		got.Missing = ""
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestPathsOfASandboxAreResolvedAndChecked(t *testing.T) {
	dir := t.TempDir()
	env := newEnvironment([]string{"HOME=" + dir}, "/base")
	sandbox := func(s Sandbox) *recipe {
		s.BestEffort = true // Landlock may be missing
		r, err := looseRecipe(Template{Name: "web", Cmd: "/bin/sh", Cwd: dir, Sandbox: &s}, env)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := sandbox(Sandbox{ReadPaths: []string{"data", "/usr"}, WritePaths: []string{"$HOME"}})
	spec, field, err := r.spec(1, 1)
	if err != nil {
		t.Fatal(field, err)
	}
	if !spec.Limits.Landlock {
		t.Skip("this system has no Landlock")
	}
	if !slices.Equal(spec.Limits.Read, []string{filepath.Join(dir, "data"), "/usr"}) || !slices.Equal(spec.Limits.Write, []string{dir}) {
		t.Errorf("paths %+v", spec.Limits)
	}
	var f *FieldError
	if err := r.check(); !errors.As(err, &f) || f.Field != "sandbox.read_paths" || !strings.Contains(err.Error(), "data does not exist") {
		t.Errorf("check: %v", err)
	}
	if err := sandbox(Sandbox{WritePaths: []string{"$NO_SUCH_VARIABLE"}}).check(); !errors.As(err, &f) || f.Field != "sandbox.write_paths" {
		t.Errorf("check: %v", err)
	}
}

func TestProgramInTheOldTmpIsRefused(t *testing.T) {
	tmpl := Template{Name: "web", Cmd: "/bin/sh", Cwd: "/tmp/x", Sandbox: &Sandbox{PrivateTmp: true}}
	r, err := looseRecipe(tmpl, newEnvironment(nil, "/"))
	if err != nil {
		t.Fatal(err)
	}
	if lacking := r.bounds.Load().lacking; lacking != nil {
		t.Skipf("no private /tmp here: %v", lacking)
	}
	if err := r.check(); err == nil || !strings.Contains(err.Error(), "sandbox.private_tmp: the working directory, /tmp/x, would not be there") {
		t.Errorf("check: %v", err)
	}
}

func TestLimitsHoldForARealProcess(t *testing.T) {
	r := newReal(t, Options{})
	dir := t.TempDir()
	r.ok(r.Add(r.ctx, script("sh", `ulimit -n; ulimit -c; umask; nice; echo end; exec sleep 100`, func(t *Template) {
		t.Limits, t.Umask, t.Nice, t.Cwd = &Limits{NoFile: "77", Core: "0"}, "027", new(4), dir
	})))
	r.reads(r.output("sh", OutputOptions{Tail: -1}), "7700027"+"4end")
	want := []LimitStatus{{"limits.nofile", "77", "rlimit", ""}, {"limits.core", "0", "rlimit", ""}, {"nice", "4", "setpriority", ""}, {"umask", "027", "umask", ""}}
	if got := r.status("sh").Limits; !slices.Equal(got, want) {
		t.Errorf("limits %+v", got)
	}
}

func TestSandboxHoldsForARealProcess(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/secret", []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("sh", `cat `+dir+`/secret || echo refused; exec sleep 100`, func(t *Template) {
		t.Cwd, t.Sandbox = "/", &Sandbox{WritePaths: []string{"/dev/null"}, BestEffort: true}
	})))
	if st := r.status("sh"); len(st.Limits) != 1 || st.Limits[0].Missing != "" {
		t.Skipf("no Landlock here: %+v", st.Limits)
	}
	r.reads(r.output("sh", OutputOptions{Tail: -1}), "refused")
}

func TestLimitsThatChangeReplaceProcesses(t *testing.T) {
	base := Template{Name: "web", Cmd: "x"}
	same := func(change func(*Template)) bool {
		changed := base.clone()
		change(&changed)
		a, err := looseRecipe(base, newEnvironment(nil, "/"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := looseRecipe(changed, newEnvironment(nil, "/"))
		if err != nil {
			t.Fatal(err)
		}
		return a.sameProcess(b)
	}
	for what, change := range map[string]func(*Template){
		"max_memory": func(t *Template) { t.MaxMemory = 1 << 30 }, "empty limits": func(t *Template) { t.Limits = &Limits{} },
	} {
		if !same(change) {
			t.Errorf("%s replaces processes", what)
		}
	}
	for what, change := range map[string]func(*Template){
		"nice": func(t *Template) { t.Nice = new(1) }, "limits": func(t *Template) { t.Limits = &Limits{NoFile: "100"} },
		"umask": func(t *Template) { t.Umask = "027" }, "ioprio": func(t *Template) { t.IOPrio = "idle" }, "cpu_affinity": func(t *Template) { t.CPUAffinity = "0" },
		"oom_score_adj": func(t *Template) { t.OOMScoreAdj = new(5) }, "sandbox": func(t *Template) { t.Sandbox = &Sandbox{NoNewPrivs: true} },
	} {
		if same(change) {
			t.Errorf("%s replaces nothing", what)
		}
	}
}

func TestClonesShareNoLimits(t *testing.T) {
	a := Template{
		Name: "web", Cmd: "x", Nice: new(1), OOMScoreAdj: new(1), Limits: &Limits{NoFile: "5"},
		Sandbox: &Sandbox{Capabilities: []string{}, ReadPaths: []string{"/a"}, WritePaths: []string{"/b"}},
	}
	b := a.clone()
	if !reflect.DeepEqual(a, b) {
		t.Errorf("clone %+v", b)
	}
	*b.Nice, *b.OOMScoreAdj, b.Limits.NoFile, b.Sandbox.ReadPaths[0], b.Sandbox.WritePaths[0] = 2, 2, "6", "/c", "/c"
	if *a.Nice != 1 || *a.OOMScoreAdj != 1 || a.Limits.NoFile != "5" || a.Sandbox.ReadPaths[0] != "/a" || a.Sandbox.WritePaths[0] != "/b" {
		t.Errorf("the original has changed: %+v", a)
	}
}

func TestLimitsTakeNumbersInJSON(t *testing.T) {
	var got Template
	if err := json.Unmarshal([]byte(`{"name":"web","cmd":"x","limits":{"nofile":65536,"core":"unlimited","memory":"512MiB","cpu":1.5},"max_memory":1048576}`), &got); err != nil {
		t.Fatal(err)
	}
	want := Template{Name: "web", Cmd: "x", Limits: &Limits{NoFile: "65536", Core: "unlimited", Memory: 512 << 20, CPU: 1.5}, MaxMemory: 1 << 20}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestKillForWantOfMemoryInACgroupIsTold(t *testing.T) {
	for _, c := range []struct {
		exit proc.Exit
		want string
	}{
		{proc.Exit{Status: -1, Signal: syscall.SIGKILL, Grouped: true, OutOfMemory: 3}, "ended by SIGKILL, out of memory (limits.memory is 512MiB)"},
		{proc.Exit{Status: -1, Signal: syscall.SIGKILL, Grouped: true}, "ended by SIGKILL"},
		{proc.Exit{Status: 1, Grouped: true, OutOfMemory: 1}, "exit status 1; the kernel has killed 1 process of it for want of memory (limits.memory is 512MiB)"},
	} {
		inWorld(t, func(w *world) {
			w.add("web", "run", noBackoff)
			w.seen()
			k := w.keepers["web"]
			var got string
			w.ok(k.box.do(w.ctx(), func() {
				p := k.slots[0].current
				r := *p.recipe
				r.Limits = &Limits{Memory: 512 << 20}
				p.recipe = &r
				got = p.exit(c.exit).Reason
			}))
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func FuzzLimitsOfResources(f *testing.F) {
	for _, s := range []string{"65536", "8MiB", "unlimited", "1:2", "1h", ":", "1:", "-1", "1e30", "2:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := Rlimit(s)
		l := Limits{NoFile: text, Core: text, CPUTime: text}
		for _, n := range l.rlimits() {
			if r, err := n.limit(); err == nil && r.Soft > r.Hard {
				t.Errorf("%s %q is %+v", n.name, s, r)
			}
		}
	})
}

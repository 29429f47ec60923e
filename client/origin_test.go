package client_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

// The test cases of the HTTP interface that gaffer descends from, each over the
// unix socket and over TCP with TLS and a key. docs/origin.md says which is which.

// overBoth runs a test over each way to a daemon of its own.
func overBoth(t *testing.T, test func(*testing.T, *asker)) {
	t.Run("unix", func(t *testing.T) {
		d := newDaemon(t)
		test(t, &asker{d.overUnix(t), t, d})
	})
	t.Run("tls", func(t *testing.T) {
		d := newDaemon(t)
		test(t, &asker{d.overTLS(t, d.key), t, d})
	})
}

// asker is a client in a test.
type asker struct {
	*client.Client
	t *testing.T
	d *daemon
}

func (a *asker) ok(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// dummy is the template of the cases.
func dummy(name string, started bool) gaffer.Template {
	return gaffer.Template{Name: name, Cmd: "sleep 1000", Start: &started}
}

func (a *asker) add(name string, started bool) {
	a.t.Helper()
	a.ok(a.Add(a.t.Context(), dummy(name, started)))
}

func (a *asker) status(name gaffer.Target) gaffer.Status {
	a.t.Helper()
	list, err := a.Status(a.t.Context(), name)
	a.ok(err)
	if len(list) != 1 {
		a.t.Fatalf("status of %s: %+v", name, list)
	}
	return list[0]
}

// want wants so many processes to run of so many.
func (a *asker) want(name gaffer.Target, running, of int, active string) {
	a.t.Helper()
	st := a.status(name)
	if st.Running != running || st.MaxProcesses != of || st.Active != active {
		a.t.Errorf("%s: %+v, want %d of %d, %s", name, st, running, of, active)
	}
}

func (a *asker) names(target gaffer.Target) []string {
	a.t.Helper()
	list, err := a.List(a.t.Context(), target)
	a.ok(err)
	names := []string{}
	for _, i := range list {
		names = append(names, i.Template.Name)
	}
	return names
}

// ids are the ids of all processes.
func (a *asker) ids() []uint64 {
	a.t.Helper()
	list, err := a.Status(a.t.Context(), gaffer.All)
	a.ok(err)
	ids := []uint64{}
	for _, st := range list {
		for _, p := range st.Processes {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

func equal[T comparable](t *testing.T, what string, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestOriginHTTPVersion(t *testing.T) {
	overBoth(t, func(t *testing.T, a *asker) {
		v, err := a.Version(t.Context())
		a.ok(err)
		if v.Version != "1.2.3" || v.API != "v1" || v.Node != "here" || v.PID == 0 || v.Go == "" || v.Started.IsZero() {
			t.Errorf("version %+v", v)
		}
		a.ok(a.Ping(t.Context()))
	})
}

func TestOriginHTTPSeveralEndpoints(t *testing.T) {
	d := newDaemon(t)
	near, far := &asker{d.overUnix(t), t, d}, &asker{d.overTLS(t, d.key), t, d}
	near.add("dummy", true)
	far.want("dummy", 1, 1, "active")
	far.ok(far.Stop(t.Context(), "dummy"))
	near.want("dummy", 0, 1, "stopped")
}

func TestOriginHTTPProcesses(t *testing.T) {
	overBoth(t, func(t *testing.T, a *asker) {
		equal(t, "templates", a.names(gaffer.All))
		a.add("dummy", false)
		equal(t, "templates", a.names(gaffer.All), "dummy")
	})
}

func TestOriginHTTPCreate(t *testing.T) {
	overBoth(t, func(t *testing.T, a *asker) {
		a.add("dummy", false)
		equal(t, "templates", a.names(gaffer.All), "dummy")
		a.want("dummy", 0, 1, "stopped")
		if err := a.Add(t.Context(), dummy("dummy", false)); !errors.Is(err, gaffer.ErrConflict) {
			t.Errorf("added twice: %v", err)
		}
		list, err := a.List(t.Context(), "dummy")
		a.ok(err)
		if got := list[0].Template; got.Cmd != "sleep 1000" || got.Start == nil || *got.Start {
			t.Errorf("template %+v", got)
		}
	})
}

func TestOriginHTTPRemove(t *testing.T) {
	overBoth(t, func(t *testing.T, a *asker) {
		a.add("dummy", true)
		a.ok(a.Remove(t.Context(), "dummy"))
		equal(t, "templates", a.names(gaffer.All))
		near, err := a.d.manager.List(t.Context(), gaffer.All)
		a.ok(err)
		if len(near) != 0 {
			t.Errorf("the manager still has %+v", near)
		}
	})
}

func TestOriginHTTPNotFound(t *testing.T) {
	overBoth(t, func(t *testing.T, a *asker) {
		_, err := a.List(t.Context(), "dummy")
		if !errors.Is(err, gaffer.ErrNotFound) || err.Error() != "dummy: not found" {
			t.Errorf("List: %v", err)
		}
		for what, err := range map[string]error{
			"Start": a.Start(t.Context(), "dummy"), "Stop": a.Stop(t.Context(), "dummy"), "Remove": a.Remove(t.Context(), "dummy"),
			"Update": a.Update(t.Context(), dummy("dummy", true)),
		} {
			if !errors.Is(err, gaffer.ErrNotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

func TestOriginHTTPStartStop(t *testing.T) {
	overBoth(t, func(t *testing.T, a *asker) {
		a.add("dummy", false)
		a.ok(a.Start(t.Context(), "dummy"))
		a.want("dummy", 1, 1, "active")
		a.ok(a.Stop(t.Context(), "dummy"))
		a.want("dummy", 0, 1, "stopped")
		a.ok(a.Remove(t.Context(), "dummy"))
		a.add("dummy", true)
		a.want("dummy", 1, 1, "active")
		a.ok(a.Restart(t.Context(), "dummy", gaffer.StopFirst))
		a.want("dummy", 1, 1, "active")
		equal(t, "ids", a.ids(), 3)
	})
}

func TestOriginHTTPAddSub(t *testing.T) {
	overBoth(t, func(t *testing.T, a *asker) {
		a.add("dummy", true)
		for _, step := range []struct {
			op   byte
			want int
		}{{'+', 4}, {'-', 1}} {
			got, err := a.Scale(t.Context(), "dummy", gaffer.Change{Op: step.op, N: 3})
			a.ok(err)
			if got["dummy"] != step.want {
				t.Errorf("%c3: %v", step.op, got)
			}
			a.want("dummy", step.want, step.want, "active")
		}
	})
}

func TestOriginHTTPRunning(t *testing.T) {
	overBoth(t, func(t *testing.T, a *asker) {
		a.add("dummy", true)
		equal(t, "ids", a.ids(), 1)
	})
}

func TestOriginHTTPPids(t *testing.T) {
	overBoth(t, func(t *testing.T, a *asker) {
		events, err := a.Subscribe(t.Context(), gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindSpawn}})
		a.ok(err)
		defer events.Close()
		a.add("dummy", true)
		list, err := a.List(t.Context(), "1")
		a.ok(err)
		if len(list) != 1 || list[0].Template.Name != "dummy" || len(list[0].Status.Processes) != 1 || list[0].Status.Processes[0].ID != 1 {
			t.Errorf("process 1: %+v", list)
		}
		a.ok(a.Stop(t.Context(), "1"))
		for want := uint64(1); want <= 2; want++ {
			e, err := events.Next(t.Context())
			a.ok(err)
			if e.ID != want {
				t.Errorf("process %d was started, want %d", e.ID, want)
			}
		}
		equal(t, "ids", a.ids(), 2)
	})
}

func TestOriginHTTPGroups(t *testing.T) {
	overBoth(t, func(t *testing.T, a *asker) {
		for _, name := range []string{"ga:a", "gb:b", "ga:c"} {
			a.add(name, false)
		}
		groups, err := a.Groups(t.Context())
		a.ok(err)
		if len(groups) != 2 || groups[0].Name != "ga" || groups[1].Name != "gb" {
			t.Errorf("groups %+v", groups)
		}
		equal(t, "members of ga", a.names("ga:*"), "ga:a", "ga:c")
		events, err := a.Subscribe(t.Context(), gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindStart, gaffer.KindStop}})
		a.ok(err)
		defer events.Close()
		a.ok(a.Start(t.Context(), "ga:*"))
		a.ok(a.Stop(t.Context(), "ga:*"))
		a.ok(a.Remove(t.Context(), "ga:a"))
		a.ok(a.Stop(t.Context(), "gb:*")) // which never started
		var got []string
		for range 5 {
			e, err := events.Next(t.Context())
			a.ok(err)
			got = append(got, string(e.Kind)+" "+e.Name)
		}
		equal(t, "events", got, "start ga:a", "start ga:c", "stop ga:c", "stop ga:a", "stop gb:b")
		equal(t, "templates", a.names(gaffer.All), "gb:b", "ga:c")
	})
}

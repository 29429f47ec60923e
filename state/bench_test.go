package state

import (
	"context"
	"fmt"
	"testing"

	"github.com/gafferpm/gaffer"
)

// thousand are templates such as users have.
func thousand() gaffer.Desired {
	d := gaffer.Desired{Source: "/etc/gaffer/gaffer.toml"}
	for i := range 1000 {
		d.Templates = append(d.Templates, gaffer.Template{
			Name: fmt.Sprintf("app%d:web", i), Cmd: "/usr/bin/env sleep 1000", NumProcesses: new(2),
			Env: map[string]string{"PORT_BASE": "5000", "LOG": "debug"}, Cwd: "/srv/app", UID: "app",
		})
	}
	return d
}

func BenchmarkKeepOne(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	must(b, s.restore(context.Background(), newFake(s), []gaffer.Desired{thousand()}, nil))
	t := thousand().Templates[7]
	for n := uint64(1); b.Loop(); n++ {
		must(b, s.Keep(context.Background(), []gaffer.Kept{{Name: t.Name, Version: n, Wanted: &gaffer.Wanted{Template: t, Count: int(n)}}}))
	}
}

func BenchmarkKeepByManyAtOnce(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	t := thousand().Templates[7]
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			must(b, s.Keep(context.Background(), []gaffer.Kept{{Name: t.Name, Version: 1, Wanted: &gaffer.Wanted{Template: t, Count: 1}}}))
		}
	})
}

func BenchmarkOpenThousand(b *testing.B) {
	dir := b.TempDir()
	s, err := Open(dir, Options{})
	must(b, err)
	must(b, s.restore(context.Background(), newFake(s), []gaffer.Desired{thousand()}, nil))
	must(b, s.Journal().Append(events(1, 20_000)))
	must(b, s.Close())
	for b.Loop() {
		s, err := Open(dir, Options{})
		must(b, err)
		b.StopTimer()
		must(b, s.Close())
		b.StartTimer()
	}
}

func BenchmarkRestoreThousand(b *testing.B) {
	for _, what := range []string{"first", "again", "all changed"} {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s, err := Open(b.TempDir(), Options{})
				must(b, err)
				d := thousand()
				if what != "first" {
					must(b, s.restore(context.Background(), newFake(s), []gaffer.Desired{d}, nil))
				}
				d = thousand()
				if what == "all changed" {
					for i := range d.Templates {
						d.Templates[i].Cwd = "/srv"
					}
				}
				b.StartTimer()
				must(b, s.restore(context.Background(), newFake(s), []gaffer.Desired{d}, nil))
				b.StopTimer()
				must(b, s.Close())
				b.StartTimer()
			}
		})
	}
}

func BenchmarkPlanThousand(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	m := newFake(s)
	must(b, s.restore(context.Background(), m, []gaffer.Desired{thousand()}, nil))
	c := &configurator{s: s, m: m}
	for b.Loop() {
		_, err := c.Plan(context.Background(), thousand())
		must(b, err)
	}
}

func must(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}
